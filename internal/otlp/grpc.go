package otlp

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor that SDKs send
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// NewGRPC returns a server with the OTLP services and the health service.
func (r *Receiver) NewGRPC(opts ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(MaxBody), grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")})}, opts...)...)
	for name, export := range map[string]func(ctx context.Context, body []byte) error{
		"trace.v1.TraceService":     r.exporter(&traces),
		"logs.v1.LogsService":       r.exporter(&logs),
		"metrics.v1.MetricsService": func(context.Context, []byte) error { return errMetrics },
	} {
		s.RegisterService(r.service("opentelemetry.proto.collector."+name, export), nil)
	}
	healthpb.RegisterHealthServer(s, health.NewServer())
	return s
}

func (r *Receiver) exporter(s *signal) func(ctx context.Context, body []byte) error {
	return func(ctx context.Context, body []byte) error { return r.receive(ctx, grpcCredentials(ctx), s, body) }
}

// message is an OTLP request as it was sent, or the answer, which has no fields.
type message struct{ buf mem.Buffer }

// codec hands OTLP messages on as they are; those of other services are the inner codec's.
type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if _, ok := v.(*message); ok {
		return nil, nil
	}
	return c.CodecV2.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*message); ok {
		m.buf = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// service describes a service whose only method is Export.
func (r *Receiver) service(name string, export func(ctx context.Context, body []byte) error) *grpc.ServiceDesc {
	serve := func(ctx context.Context, req any) (any, error) {
		if err := export(ctx, req.(*message).buf.ReadOnlyData()); err != nil {
			return nil, r.grpcError(ctx, err)
		}
		return &message{}, nil
	}
	return &grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Export",
		Handler: func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := &message{}
			if err := decode(in); err != nil {
				return nil, err
			}
			defer in.buf.Free()
			if interceptor == nil {
				return serve(ctx, in)
			}
			return interceptor(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/" + name + "/Export"}, serve)
		},
	}}}
}

func grpcCredentials(ctx context.Context) credentials {
	md, _ := metadata.FromIncomingContext(ctx)
	get := func(names ...string) string {
		for _, n := range names {
			if v := md.Get(n); len(v) > 0 {
				return v[0]
			}
		}
		return ""
	}
	return credentials{get("x-honeycomb-team", "x-hny-team"), get("x-honeycomb-dataset")}
}

func (r *Receiver) grpcError(ctx context.Context, err error) error {
	f := r.failureOf(ctx, err)
	st := status.New(f.code, f.msg)
	if f.code == codes.ResourceExhausted || f.code == codes.Unavailable {
		if d, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}); err == nil {
			st = d
		}
	}
	return st.Err()
}

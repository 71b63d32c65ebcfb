package otlp

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor that SDKs send
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// NewGRPC returns a server with the OTLP services and the health service.
func (r *Receiver) NewGRPC(opts ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(MaxBody)}, opts...)...)
	ptraceotlp.RegisterGRPCServer(s, &grpcTraces{r: r})
	plogotlp.RegisterGRPCServer(s, &grpcLogs{r: r})
	pmetricotlp.RegisterGRPCServer(s, &grpcMetrics{})
	healthpb.RegisterHealthServer(s, health.NewServer())
	return s
}

type grpcTraces struct {
	ptraceotlp.UnimplementedGRPCServer
	r *Receiver
}

func (g *grpcTraces) Export(ctx context.Context, in ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	return ptraceotlp.NewExportResponse(), g.r.grpcError(ctx, g.r.traces(ctx, grpcCredentials(ctx), in.Traces()))
}

type grpcLogs struct {
	plogotlp.UnimplementedGRPCServer
	r *Receiver
}

func (g *grpcLogs) Export(ctx context.Context, in plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	return plogotlp.NewExportResponse(), g.r.grpcError(ctx, g.r.logs(ctx, grpcCredentials(ctx), in.Logs()))
}

type grpcMetrics struct {
	pmetricotlp.UnimplementedGRPCServer
}

func (*grpcMetrics) Export(context.Context, pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	return pmetricotlp.NewExportResponse(), status.Error(errMetrics.code, errMetrics.msg)
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
	if err == nil {
		return nil
	}
	f := r.failureOf(ctx, err)
	st := status.New(f.code, f.msg)
	if f.code == codes.ResourceExhausted || f.code == codes.Unavailable {
		if d, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}); err == nil {
			st = d
		}
	}
	return st.Err()
}

package main

import (
	"io"
	"log/slog"
	"strings"
	"testing"
)

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestConfigureDefaults(t *testing.T) {
	cfg, err := configure(nil, env(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != "127.0.0.1:4567" || cfg.FrontendAddr != "127.0.0.1:3000" || cfg.Service != "backend-flask" || cfg.LogGroup != "cruddur" {
		t.Errorf("addresses %q %q, service %q, group %q", cfg.Addr, cfg.FrontendAddr, cfg.Service, cfg.LogGroup)
	}
	if cfg.ExportSpans || cfg.XRaySDK || cfg.CloudWatch || cfg.Demo || cfg.LogText || cfg.AccessLogLevel != nil {
		t.Errorf("something is on by default: %+v", cfg)
	}
}

func TestConfigureFromEnvironment(t *testing.T) {
	cfg, err := configure([]string{"--port", "0", "--frontend-addr", ""}, env(
		"HOST", "::1", "PORT", "80", "OTEL_SERVICE_NAME", "cruddur", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318",
		"CRUDDUR_XRAY", "sdk", "AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000", "AWS_XRAY_URL", "*4567-*",
		"AWS_ENDPOINT_URL", "http://127.0.0.1:8733", "LOG_GROUP", "g", "CRUDDUR_LOG_FORMAT", "text",
		"ACCESS_LOG_LEVEL", "error", "CRUDDUR_DEMO", "1", "FRONTEND_URL", "http://f", "BACKEND_URL", "http://b",
	), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != "[::1]:0" || cfg.FrontendAddr != "" || cfg.Service != "cruddur" || cfg.FrontendURL != "http://f" || cfg.BackendURL != "http://b" {
		t.Errorf("%+v", cfg)
	}
	if !cfg.ExportSpans || !cfg.XRaySDK || cfg.XRayDaemon != "127.0.0.1:2000" || cfg.XRayURL != "*4567-*" {
		t.Errorf("%+v", cfg)
	}
	if !cfg.CloudWatch || cfg.LogGroup != "g" || !cfg.LogText || cfg.AccessLogLevel == nil || *cfg.AccessLogLevel != slog.LevelError || !cfg.Demo {
		t.Errorf("%+v", cfg)
	}
	if cfg, err := configure(nil, env("AWS_ENDPOINT_URL", "http://x", "CRUDDUR_CLOUDWATCH", "0"), io.Discard); err != nil || cfg.CloudWatch {
		t.Errorf("CRUDDUR_CLOUDWATCH=0: %v, %v", cfg.CloudWatch, err)
	}
	if cfg, err := configure(nil, env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "OTEL_SDK_DISABLED", "true"), io.Discard); err != nil || cfg.ExportSpans {
		t.Errorf("OTEL_SDK_DISABLED: %v, %v", cfg.ExportSpans, err)
	}
}

func TestConfigureErrors(t *testing.T) {
	for _, pair := range [][2]string{
		{"CRUDDUR_XRAY", "yes"}, {"CRUDDUR_LOG_FORMAT", "xml"}, {"CRUDDUR_CLOUDWATCH", "on"}, {"ACCESS_LOG_LEVEL", "loud"},
	} {
		if _, err := configure(nil, env(pair[0], pair[1]), io.Discard); err == nil || !strings.Contains(err.Error(), pair[0]) {
			t.Errorf("%s=%s: %v", pair[0], pair[1], err)
		}
	}
	if _, err := configure(nil, env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), io.Discard); err == nil {
		t.Error("OTLP over gRPC was accepted")
	}
	if _, err := configure([]string{"serve"}, env(), io.Discard); err == nil {
		t.Error("an argument was accepted")
	}
}

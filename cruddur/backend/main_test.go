package backend_test

import (
	"os"
	"testing"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"github.com/aws/aws-xray-sdk-go/v2/xraylog"
)

func TestMain(m *testing.M) {
	xray.SetLogger(xraylog.NullLogger)
	os.Exit(m.Run())
}

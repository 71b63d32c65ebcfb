package xray

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// stacks are traces as runtimes write them, and the frames in them.
var stacks = []struct{ name, text, want string }{
	{"Go", "goroutine 18 [running]:\ngo.opentelemetry.io/otel/sdk/trace.recordStackTrace()\n\t/go/pkg/mod/go.opentelemetry.io/otel/sdk@v1.44.0/trace/span.go:502 +0x4c\n" +
		"main.(*Shop).order(0xc000012345, {0x1, 0x2})\n\t/src/shop/order.go:12 +0x1d\npanic({0x5, 0x6})\n\t/usr/lib/go/src/runtime/panic.go:783 +0x132\n" +
		"created by main.main.func1 in goroutine 1\n\t/src/main.go:7 +0x9a\n\ngoroutine 1 [select]:\nmain.main()\n\t/src/main.go:9\n",
		"/go/pkg/mod/go.opentelemetry.io/otel/sdk@v1.44.0/trace/span.go:502 go.opentelemetry.io/otel/sdk/trace.recordStackTrace|/src/shop/order.go:12 main.(*Shop).order|" +
			"/usr/lib/go/src/runtime/panic.go:783 panic|/src/main.go:7 main.main.func1"},
	{"Go by pkg/errors", "no stock\nmain.take\n\t/src/take.go:3\nmain.main\n\t/src/main.go:8\nruntime.main\n\t/usr/lib/go/src/runtime/proc.go:285",
		"/src/take.go:3 main.take|/src/main.go:8 main.main|/usr/lib/go/src/runtime/proc.go:285 runtime.main"},
	{"Python", "Traceback (most recent call last):\n  File \"/app/db.py\", line 3, in get\n    raise KeyError(1)\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\n" +
		"Traceback (most recent call last):\n  File \"/app/main.py\", line 20, in <module>\n    handle()\n    ~~~~~~^^\n  File \"/app/view s.py\", line 7, in View.handle\n    raise ValueError(\"File \\\"x\\\"\") from None\nValueError: File \"x\"\n",
		"/app/view s.py:7 View.handle|/app/main.py:20 <module>"},
	{"Java", "java.lang.IllegalStateException: no stock: at all\n\tat com.example.Shop.<init>(Shop.java:12)\n\tat com.example.Shop$Cart.lambda$take$0(Shop.kt:5)\n\tat java.base/jdk.internal.reflect.NativeMethodAccessorImpl.invoke0(Native Method)\n" +
		"\tat app//org.junit.Run.go(Unknown Source)\n\tat org.Log.x(Log.java:1) ~[log.jar:1.2]\n\t... 12 more\nCaused by: java.io.IOException: x\n\tat com.example.Db.get(Db.java:99)\n",
		"Shop.java:12 com.example.Shop.<init>|Shop.kt:5 com.example.Shop$Cart.lambda$take$0|Native Method:0 java.base/jdk.internal.reflect.NativeMethodAccessorImpl.invoke0|Unknown Source:0 app//org.junit.Run.go|Log.java:1 org.Log.x"},
	{"Node", "TypeError: Cannot read properties of undefined (reading 'x')\n    at Object.foo (/app/a.js:10:15)\n    at async bar (file:///app/b.mjs:1:2)\n    at new Foo (C:\\app\\c.js:3:4)\n    at /app/d e.js:5:6\n" +
		"    at Array.map (<anonymous>)\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)\n  [cause]: Error: y\n      at z (/app/z.js:1:1)",
		"/app/a.js:10 Object.foo|file:///app/b.mjs:1 bar|C:\\app\\c.js:3 new Foo|/app/d e.js:5 |<anonymous>:0 Array.map|node:internal/process/task_queues:95 process.processTicksAndRejections"},
	{"Firefox", "take@https://shop.example/app.js:10:15\n@https://shop.example/app.js:20:1\n", "https://shop.example/app.js:10 take|https://shop.example/app.js:20 "},
	{".NET", "System.InvalidOperationException: no stock\n ---> System.Exception: inner\n   at Shop.Db.Get(String key) in /src/Db.cs:line 3\n   --- End of inner exception stack trace ---\n" +
		"   at Shop.Cart.Take(Int32 n, List`1 of) in C:\\src\\Cart.cs:line 12\n--- End of stack trace from previous location ---\n   at System.Threading.Tasks.Task.Wait()\n   at Shop.<>c.<Main>b__0_0(Object o)",
		"C:\\src\\Cart.cs:12 Shop.Cart.Take(Int32 n, List`1 of)|:0 System.Threading.Tasks.Task.Wait()|:0 Shop.<>c.<Main>b__0_0(Object o)"},
	{"Ruby", "/app/cart.rb:10:in `take': no stock (RuntimeError)\nplease wait\n\tfrom /app/shop.rb:3:in `block in order'\n\tfrom bin/rails:4\n/app/db.rb:1:in `get': inner (KeyError)\n\tfrom /app/db.rb:9:in `x'\n",
		"/app/cart.rb:10 take|/app/shop.rb:3 block in order|bin/rails:4 "},
	{"Ruby 3.4", "/app/cart.rb:10:in 'Cart#take': no stock (RuntimeError)\n\tfrom /app/shop.rb:3:in 'Shop.order'\n", "/app/cart.rb:10 Cart#take|/app/shop.rb:3 Shop.order"},
	{"what the server itself writes", "Boom: x\n\tat take(cart.go: 12)\n\tat order(shop.go: 3)\n", "cart.go:12 take|shop.go:3 order"},
	{"unknown", "it broke at 10:15 in the morning\nat noon\nfrom here\n#0 main", ""},
	{"empty", "", ""},
}

func TestFrames(t *testing.T) {
	for _, x := range stacks {
		var got []string
		list, more := framesOf(x.text)
		for _, f := range list {
			got = append(got, fmt.Sprintf("%s:%d %s", f.path, f.line, f.label))
		}
		if s := strings.Join(got, "|"); s != x.want || more != 0 {
			t.Errorf("%s:\n got %s\nwant %s", x.name, s, x.want)
		}
	}
	long := "Error: x\n" + strings.Repeat("    at foo (/app/a.js:10:15)\n", 1000)
	if list, more := framesOf(long); len(list) != maxFrames || more != 800 {
		t.Errorf("%d frames and %d more of 1000", len(list), more)
	}
}

// FuzzFrames takes arbitrary texts apart.
func FuzzFrames(f *testing.F) {
	for _, x := range stacks {
		f.Add(x.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, more := framesOf(text)
		if len(list) > maxFrames || more < 0 {
			t.Fatalf("%q: %d frames, %d more", text, len(list), more)
		}
		for _, x := range list {
			if len(x.path) > maxFrameText || len(x.label) > maxFrameText || x.line < 0 || utf8.ValidString(text) && !utf8.ValidString(x.path+x.label) {
				t.Fatalf("%q: frame %+v", text, x)
			}
		}
	})
}

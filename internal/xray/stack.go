package xray

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

const (
	// maxFrames bounds the frames of an exception; how many more there were is said beside them.
	maxFrames = 200
	// maxStack is how much of a stack trace is read, maxFrameText how much of a line is kept.
	maxStack     = 64 << 10
	maxFrameText = 500
)

// frame is a frame of a stack.
type frame struct {
	path  string
	line  int
	label string
}

// The forms of lines, without what they are indented by.
var (
	pythonLine = regexp.MustCompile(`^File "(.+)", line (\d+)(?:, in (.+))?$`)
	goLine     = regexp.MustCompile(`^(.+\.\w+):(\d+)(?: \+0x[0-9a-f]+)?$`)
	netLine    = regexp.MustCompile(`^at (.+) in (.+):line (\d+)$`)
	javaLine   = regexp.MustCompile(`^at ([^\s(]+)\(([^()]+?)(?:: ?(\d+))?\)(?: ~?\[.*\])?$`)
	nodeLine   = regexp.MustCompile(`^at (?:async )?(?:(.+?) \()?([^ (].*?)(?::(\d+))?(?::\d+)?\)?$`)
	plainLine  = regexp.MustCompile(`^at (\S+\(.*\))$`)
	browser    = regexp.MustCompile(`^([^@\s]*)@(\S+?):(\d+):\d+$`)
	rubyTop    = regexp.MustCompile("^(.+?):(\\d+):in ['`](.+?)'(?:: .*)?$")
	rubyFrom   = regexp.MustCompile("^from (.+?):(\\d+)(?::in ['`](.+?)')?$")
)

// framesOf takes a stack trace apart that an exception of a span has as text, as the runtimes of Go,
// Python, Java, JavaScript, .NET and Ruby write them: the frames of the exception itself, not of those
// that caused it, the innermost first. Of another form there are none. more is how many
// frames were left out.
func framesOf(text string) (list []frame, more int) {
	if len(text) > maxStack {
		text = text[:maxStack]
	}
	switch {
	case strings.Contains(text, "Traceback (most recent call last):"):
		list = pythonFrames(text)
	case strings.HasPrefix(text, "goroutine ") || strings.Contains(text, ".go:"):
		list = goFrames(text)
	}
	if len(list) == 0 {
		list = otherFrames(text)
	}
	if len(list) > maxFrames {
		list, more = list[:maxFrames], len(list)-maxFrames
	}
	return list, more
}

func newFrame(path, line, label string) frame {
	n, err := strconv.Atoi(line)
	if err != nil || n > 1e9 {
		n = 0
	}
	cut := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxFrameText)], "") }
	return frame{cut(strings.TrimSpace(path)), n, cut(strings.TrimSpace(label))}
}

// pythonFrames reads the last traceback, before which those of the causes stand.
func pythonFrames(text string) (list []frame) {
	text = text[strings.LastIndex(text, "Traceback (most recent call last):"):]
	for line := range strings.Lines(text) {
		if m := pythonLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			list = append(list, newFrame(m[1], m[2], m[3]))
		}
	}
	for i, k := 0, len(list)-1; i < k; i, k = i+1, k-1 {
		list[i], list[k] = list[k], list[i]
	}
	return list
}

// goFrames reads the first goroutine: a line with the function, then one with the place.
func goFrames(text string) (list []frame) {
	label := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch place := goLine.FindStringSubmatch(strings.TrimSpace(line)); {
		case line == "" && len(list) > 0:
			return list
		case place != nil && label != "" && (line[0] == '\t' || line[0] == ' '):
			list = append(list, newFrame(place[1], place[2], label))
			label = ""
		default:
			label = strings.TrimPrefix(line, "created by ")
			if i := strings.LastIndexByte(label, '('); i > 0 && strings.HasSuffix(label, ")") {
				label = label[:i]
			}
			label, _, _ = strings.Cut(label, " in goroutine ")
		}
	}
	return list
}

// otherFrames reads lines that each are a frame.
func otherFrames(text string) (list []frame) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Caused by:"), strings.HasPrefix(line, "Suppressed:"), strings.HasPrefix(line, "[cause]:"):
			return list
		case strings.HasPrefix(line, "--- End of inner exception stack trace ---"):
			list = nil // what .NET writes first is the cause
		case strings.HasPrefix(line, "at "):
			if f, ok := lineFrame(line); ok {
				list = append(list, f)
			}
		default:
			if m := rubyFrom.FindStringSubmatch(line); m != nil && len(list) > 0 {
				list = append(list, newFrame(m[1], m[2], m[3]))
			} else if m := rubyTop.FindStringSubmatch(line); m != nil {
				if len(list) > 0 {
					return list // of the cause
				}
				list = append(list, newFrame(m[1], m[2], m[3]))
			} else if m := browser.FindStringSubmatch(line); m != nil {
				list = append(list, newFrame(m[2], m[3], m[1]))
			}
		}
	}
	return list
}

// lineFrame reads a line that begins with "at ", of .NET, Java or JavaScript.
func lineFrame(line string) (frame, bool) {
	if m := netLine.FindStringSubmatch(line); m != nil {
		return newFrame(m[2], m[3], m[1]), true
	}
	if m := javaLine.FindStringSubmatch(line); m != nil && (m[3] != "" || m[2] == "Native Method" || m[2] == "Unknown Source" || strings.HasSuffix(m[2], ".java")) {
		return newFrame(m[2], m[3], m[1]), true
	}
	if m := plainLine.FindStringSubmatch(line); m != nil {
		return newFrame("", "", m[1]), true // .NET without symbols
	}
	if m := nodeLine.FindStringSubmatch(line); m != nil && (m[3] != "" || m[1] != "") {
		return newFrame(m[2], m[3], m[1]), true
	}
	return frame{}, false
}

// addStack adds the frames of a stack trace to an exception.
func (b *builder) addStack(text string) {
	list, more := framesOf(text)
	if len(list) == 0 {
		return
	}
	frames := make([]json.RawMessage, len(list))
	for i, f := range list {
		var x builder
		x.text("path", f.path)
		x.add("line", encode(f.line))
		x.text("label", f.label)
		frames[i] = join(x.list)
	}
	b.add("stack", array(frames))
	if more > 0 {
		b.add("truncated", encode(more))
	}
}

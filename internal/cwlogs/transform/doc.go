// Package transform turns the text of log events into documents by the processors of log transformers,
// as described at docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Transformation-Processors.html.
//
// A transformer is a list of 1 to 20 processors of which the first is a parser. A document is a JSON
// object; paths into it are names with dots between them, where a number is a place in a list. A
// processor to whose input a document does not fit leaves the document as it is, and the next goes on;
// only a parser that is the first and can not parse ends the transformation, and the event stays as it is.
//
// Not there: parseToOCSF. Time zones are those of the program's database; patterns of times are those of
// Java's DateTimeFormatter, as far as time.Layout can express them. Grok knows the patterns in grok.go.
package transform

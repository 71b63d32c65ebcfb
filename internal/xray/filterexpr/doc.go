// Package filterexpr is the language of X-Ray's filter expressions.
//
// AWS describes it in the developer guide, "Using filter expressions", and publishes no grammar.
// This one is ours:
//
//	expr       = or .
//	or         = and { "OR" and } .
//	and        = not { [ "AND" ] not } .
//	not        = "!" not | primary .
//	primary    = "(" expr ")" | service | edge | rootcause | comparison | bare .
//	bare       = keyword .
//	comparison = keyword op value .
//	op         = "=" | "!=" | "<" | "<=" | ">" | ">=" | "CONTAINS" | "BEGINSWITH" | "ENDSWITH" .
//	value      = string | number | "true" | "false" | "#" json | word .
//	service    = "service" "(" [ node ] ")" [ "{" [ expr ] "}" ] .
//	edge       = "edge" "(" [ node [ "," node ] ] ")" [ "{" [ expr ] "}" ] .
//	node       = string | id .
//	id         = "id" "(" arg { "," arg } ")" .
//	arg        = ( "name" | "type" | "account.id" ) ":" string .
//	rootcause  = "rootcause" "." ( "fault" | "error" | "responsetime" ) "."
//	             ( "service" | "entity" | "exception" ) [ "{" [ expr ] "}" ]
//	           | "rootcause" "." "json" ( "=" | "!=" ) "#" json .
//	keyword    = "ok" | "error" | … | "annotation" ( "." key | "[" key "]" ) .
//
// Keywords, operators of words, true and false are of any case; strings stand in double quotes, where
// a backslash escapes the quote and itself. Times are seconds. An empty expression holds for every
// trace.
//
// A keyword by itself is its value when it is a boolean, else it asks whether it is set. A
// comparison with a keyword that is not set is false, != included; ! turns false into true.
// A keyword with several values satisfies a comparison with one of them, and != when it has
// values and none is equal. Strings are compared with regard to case, times after rounding
// to milliseconds.
//
// Known differences from AWS: texts of errors are ours; coldstart, insight.id and insight.category
// are additions; annotations may be used inside braces.
package filterexpr

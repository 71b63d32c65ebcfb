// Package filterpattern is the language of filter patterns of CloudWatch Logs, which
// FilterLogEvents, TestMetricFilter and metric and subscription filters take. It is described
// at docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html.
//
// There are three dialects, told apart by the first character that is not blank. All are
// case-sensitive; an empty pattern matches all.
//
//	pattern   = [ json | delimited | terms ] .
//
//	terms     = term { term } .                     (* with blanks between *)
//	term      = [ "?" | "-" ] ( word | quoted | regex ) .
//	quoted    = '"' { any but quote and backslash | "\" any } '"' .
//	regex     = "%" { character } "%" .
//
//	json      = "{" or "}" .
//	or        = and { "||" and } .
//	and       = prim { "&&" prim } .
//	prim      = "(" or ")" | cond .
//	cond      = selector ( cmp value | "IS" ( "NULL" | "TRUE" | "FALSE" ) | "NOT" "EXISTS" ) .
//	selector  = "$" step { step } .
//	step      = "." ( name | "*" | "['" key "']" ) | "[" ( digits | "*" | "'" key "'" ) "]" .
//	cmp       = "=" | "!=" | "<" | "<=" | ">" | ">=" .
//	value     = quoted | regex | number | bare .    (* "*" in quoted and bare is a wildcard *)
//
//	delimited = "[" field { "," field } "]" .
//	field     = "..." | [ name ] | alt .
//	alt       = both { "||" both } .
//	both      = dcond { "&&" dcond } .
//	dcond     = name cmp value .                    (* all of one field have its name *)
//
// Terms are substrings of the message. Terms marked with ? are alternatives when all terms
// are; next to others they say nothing, as on AWS. A word has letters, digits and any of
// "_.-/:@"; AWS refuses all but letters, digits and underscores, which many patterns in use
// do not keep to.
//
// What AWS does not document is decided so: a JSON comparison, "!=" too, holds for no value
// that is missing, an object, an array, null or a boolean; a number given without quotes is
// also equal to a string of the same text; "<" and its like hold for numbers only.
package filterpattern

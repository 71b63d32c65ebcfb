// Package insights is the query language of CloudWatch Logs Insights, which StartQuery takes. It
// is described at docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html.
//
//	query    = [ source "|" ] command { "|" command } .
//	source   = "SOURCE" ( selector { selector } | group { "," group } ) [ "START" "=" moment ] [ "END" "=" moment ] .
//	selector = "logGroups" "(" [ arg { "," arg } ] ")" | "dataSource" "(" strings ")" .
//	arg      = ( "namePrefix" | "class" | "accountIdentifier" | "accountIdentifiers" | "tags" | "logGroupIdentifier" ) ":" strings .
//	strings  = "[" [ string { "," string } ] "]" .      moment = digits | "now" | "-" duration .
//	command  = "fields" items | ( "display" | "unmask" ) items
//	         | ( "filter" | "where" ) expr | "filterIndex" expr | "search" pattern
//	         | "stats" item { [","] item } [ "by" items ] [ "offset" duration ]
//	         | ( "sort" | "order" [ "by" ] ) key { "," key }
//	         | ( "limit" | "head" ) [ "any" ] digits | "tail" digits
//	         | "parse" [ path ] ( string "as" names | regex [ "as" names ] [ "multi" ] | "logfmt" "as" path | "csv" "as" names )
//	         | "json" "field" "=" path string "as" path
//	         | "dedup" paths | "pattern" expr | "diff" [ "previousDay" | "previousWeek" | "previousMonth" ] | "anomaly"
//	         | "logcompare" "timeshift" [ "-" ] duration
//	         | "unnest" path "into" path | "expand" path
//	         | ( "lookup" | "cidrlookup" ) name lk { "," lk } "OUTPUT" names
//	         | "join" { "type" "=" ( "inner" | "left" ) | "left" "=" name | "right" "=" name } "where" on { "and" on } sub
//	         | "appendcols" { "override" "=" truth | "max" "=" digits } sub
//	         | "relevantfields" [ paths ] "where" expr
//	         | "addtotals" { "row" "=" truth | "col" "=" truth | "fieldname" "=" name } [ paths ]
//	         | "autoregress" path [ "as" path ] [ "p" "=" digits [ "-" digits ] ] | "accum" path [ "as" path ]
//	         | "filldown" [ paths ] | "fillmissing" [ "with" literal "for" path { "," literal "for" path } ]
//	         | "outlier" { "action" "=" word | "param" "=" number | "uselower" "=" truth | "mark" "=" truth } path { [","] path }
//	         | "sessionize" paths [ "maxspan" duration ] [ "as" path ] | "countFrequent" paths | "estimate" .
//	lk       = path [ "as" path ] .            on = path "=" path .            sub = "(" query ")" .
//	items    = item { "," item } .             item = expr [ "as" path ] .     key = expr [ "asc" | "desc" ] .
//	names    = paths .                         paths = path { "," path } .
//	expr     = conj { "or" conj } .            conj = neg { "and" neg } .      neg = "not" neg | pred .
//	pred     = sum [ cmp sum | "=~" pattern | [ "not" ] "like" pattern | [ "not" ] "in" ( list | sub ) ] .
//	cmp      = "=" | "!=" | "<" | "<=" | ">" | ">=" .
//	pattern  = regex | string .                list = "[" literal { "," literal } "]" .
//	sum      = product { ( "+" | "-" ) product } .  product = power { ( "*" | "/" | "%" ) power } .
//	power    = unary [ "^" power ] .           unary = [ "-" ] prim .
//	prim     = literal | call | path | "(" expr ")" .
//	call     = name "(" [ "*" | arg { "," arg } ] ")" { step } .  arg = expr | duration .
//	path     = segment { step } .              step = "." segment | "[" digits "]" .
//	segment  = identifier | "`" any "`" .
//	literal  = string | number | "true" | "false" .
//
// Commands, keywords and functions are known in any case, fields only in theirs. "#" begins a
// comment at the start of a line or behind a blank.
//
// Lower makes stages of the query model of a tree. Commands ahead of a stats run within the store;
// those that work along rows, such as accum, run over what comes of it, by the same evaluator.
// Queries within a query run first and alone. The fields of a command become expressions that stand
// where they are used; rows that a command makes get fields of names that no message has.
//
// Values are compared as numbers when both sides read as numbers, else as text. A comparison
// with a field that a row lacks is false, so != and the negated operators hold. Timestamps are
// milliseconds since the epoch in expressions. Booleans of JSON messages are equal to true and
// 1, or false and 0, and are shown as true and false; functions that test give 1 and 0. Maps and
// lists are missing where a text or a number is asked for.
//
// docs/languages/insights.md lists what this package does where AWS's documentation leaves it open.
package insights

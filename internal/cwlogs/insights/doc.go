// Package insights is the query language of CloudWatch Logs Insights, which StartQuery takes. It
// is described at docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html.
//
//	query    = command { "|" command } .
//	command  = "fields" item { "," item } | "display" item { "," item }
//	         | ( "filter" | "where" ) expr
//	         | "stats" item { [","] item } [ "by" item { "," item } ]
//	         | ( "sort" | "order" [ "by" ] ) key { "," key }
//	         | ( "limit" | "head" ) [ "any" ] digits
//	         | "parse" [ path ] ( string "as" names | regex [ "as" names ] )
//	         | "dedup" path { "," path } .
//	item     = expr [ "as" path ] .            key = expr [ "asc" | "desc" ] .
//	names    = path { "," path } .
//	expr     = conj { "or" conj } .            conj = neg { "and" neg } .      neg = "not" neg | pred .
//	pred     = sum [ cmp sum | "=~" pattern | [ "not" ] "like" pattern | [ "not" ] "in" list ] .
//	cmp      = "=" | "!=" | "<" | "<=" | ">" | ">=" .
//	pattern  = regex | string .                list = "[" literal { "," literal } "]" .
//	sum      = product { ( "+" | "-" ) product } .  product = power { ( "*" | "/" | "%" ) power } .
//	power    = unary [ "^" power ] .           unary = [ "-" ] prim .
//	prim     = literal | call | path | "(" expr ")" .
//	call     = name "(" [ "*" | arg { "," arg } ] ")" .  arg = expr | duration .
//	path     = segment { "." segment | "[" digits "]" } .
//	segment  = identifier | "`" any "`" .
//	literal  = string | number | "true" | "false" .
//
// Commands, keywords and functions are known in any case, fields only in theirs. "#" begins a
// comment at the start of a line or behind a blank. The rest of AWS's language (pattern, diff,
// join, subqueries, SOURCE, unnest, … and functions over JSON, addresses and time formats) is
// refused by name, "not supported by this server", never passed over.
//
// Values are compared as numbers when both sides read as numbers, else as text. A comparison
// with a field that a row lacks is false, so != and the negated operators hold. Timestamps are
// milliseconds since the epoch in expressions. Booleans of JSON messages are equal to true and
// 1, or false and 0, and are shown as true and false; functions that test give 1 and 0.
//
// Where AWS's documentation leaves open what happens, this package does the following. Fields
// that parse makes are shown when fields or display names them. Rows of stats come
// newest first when a time is among the groups, then in the order of the groups. Groups come ahead of aggregates. dedup keeps rows that
// lack one of its fields. stddev is that of the population, pct interpolates linearly. Weeks begin on
// Monday. limit acts where it stands.
package insights

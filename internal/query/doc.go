// Package query is the one query model: the vendors' languages lower to it, the stores run it.
//
// A [Query] names datasets and a time range and carries a pipeline of stages: filter, extend,
// spread, aggregate, sort, limit, distinct, project, and those that make rows of others or compute
// along them (unnest, join, running, patterns, …), which every executor leaves to a [Runner].
// Expressions are trees of [Expr]. [Eval] is the
// only evaluator of expressions: live filters, the executors and the tests use it. [Runner]
// runs a pipeline over rows that a store pushes into it.
//
// Missing values: a comparison with a missing side is false, text tests of a missing value are
// false, arithmetic with a missing or non-numeric side is missing. Not turns false into true,
// so a language that wants "missing is not equal" lowers != to Not(Eq), and one that wants the
// field to be there lowers it to And(Has, Not(Eq)).
//
// Maps and lists are documents: JSON in a string. Which expressions give documents is known to the
// language that lowers to them.
//
// Kinds: Strict comparisons hold only between values of one kind (integers and floats are one
// kind, "number"). Loose comparisons are numeric when both sides are numbers or strings that
// read as numbers, else compare as text.
package query

// Package querytest holds what tests of queries share: a slow oracle over events in memory, a
// generator of random events and queries, and the corpus format of the languages.
package querytest

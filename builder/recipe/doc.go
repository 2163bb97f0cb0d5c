// Package recipe is Cloudy's recipe language: HCL 2, strict, evaluated into
// plain structs. All *.hcl files of a folder are one module, as in Terraform
// and Packer. Loading reads files of the recipe folder alone, needs no
// network, and reports every mistake at once as diagnostics with file, line
// and column.
//
// The language is described in one place, the schema (see Schema): decoding,
// suggestions, and the reference in docs/reference are all driven by it.
package recipe

//go:generate go test -run TestReferenceIsCurrent -update

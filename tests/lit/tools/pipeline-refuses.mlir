// RUN: not ansorc-opt %s --pipeline=no-such-pass 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not ansorc-opt %s --pipeline=ansorc-nothing 2>&1 | FileCheck %s --check-prefix=OURS
// RUN: not ansorc-opt %s --pipeline='builtin.module(cse' 2>&1 | FileCheck %s --check-prefix=BRACKETS
// RUN: not ansorc-opt %s --pipeline='ansorc-schedule{cpu=haswell}' 2>&1 | FileCheck %s --check-prefix=OPTION
// RUN: not ansorc-opt %s --pipeline='ansorc-schedule{target=haswel}' 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not ansorc-opt no-such-file.mlir 2>&1 | FileCheck %s --check-prefix=FILE

// UNKNOWN: 'no-such-pass' does not refer to a registered pass
// OURS: unknown pass 'ansorc-nothing'; ours are ansorc-unstack-products, ansorc-fold-constants
// BRACKETS: brackets do not match
// OPTION: ansorc-schedule has no option 'cpu'; it has: target, kind, script
// TARGET: unknown target 'haswel'. Did you mean 'haswell'?
// FILE: No such file
func.func @f() {
  return
}

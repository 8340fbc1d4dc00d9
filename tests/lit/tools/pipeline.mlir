// RUN: ansorc-opt %s --pipeline='builtin.module(func.func(cse),canonicalize{max-iterations=3})' | FileCheck %s
// RUN: ansorc-opt %s --pipeline=cse | FileCheck %s
// RUN: ansorc-opt --pipeline=cse < %s | FileCheck %s
// RUN: ansorc-opt %s --pipeline=cse,canonicalize --print-ir-after-all 2>&1 | FileCheck %s --check-prefix=AFTER
// RUN: ansorc-opt --list | FileCheck %s --check-prefix=LIST

// CHECK-LABEL: func.func @twice
// CHECK: %[[X:.*]] = arith.mulf
// CHECK-NOT: arith.mulf
// CHECK: arith.addf %[[X]], %[[X]]
func.func @twice(%a: f32) -> f32 {
  %0 = arith.mulf %a, %a : f32
  %1 = arith.mulf %a, %a : f32
  %2 = arith.addf %0, %1 : f32
  return %2 : f32
}

// AFTER: IR Dump After {{.*}}cse
// AFTER: IR Dump After {{.*}}canonicalize

// LIST: ansorc-fold-constants
// LIST: ansorc-form-tasks

// RUN: ansorc-opt %s --split-input-file --pipeline=canonicalize | FileCheck %s

// CHECK-LABEL: func.func @first
func.func @first() {
  return
}

// CHECK: // -----

// -----

// CHECK-LABEL: func.func @second
func.func @second() {
  return
}

// RUN: not ansorc-opt %s --split-input-file --verify-diagnostics 2>&1 | FileCheck %s
// RUN: not ansorc-opt %s --split-input-file 2>&1 | FileCheck %s --check-prefix=PLAIN

// CHECK: :[[#@LINE+1]]: expected error was not produced: nothing
// expected-error@+0 {{nothing}}
func.func @fine() {
  return
}

// -----

func.func @wrong_type(%a: f32) -> i32 {
  // CHECK: :[[#@LINE+2]]: unexpected {{.*}}error: type of return operand 0
  // PLAIN: diagnostics-refuses.mlir:[[#@LINE+1]]: error: type of return operand 0
  return %a : f32
}

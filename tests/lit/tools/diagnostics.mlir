// RUN: ansorc-opt %s --split-input-file --verify-diagnostics --pipeline=canonicalize

func.func @unknown_operation() {
  // expected-error@+1 {{Dialect `nothing' not found}}
  nothing.here
  return
}

// -----

func.func @wrong_type(%a: f32) -> i32 {
  // expected-error-re@below {{type of return operand 0 \('f32'\)}}
  return %a : f32
}

// -----

func.func @no_diagnostics() {
  return
}

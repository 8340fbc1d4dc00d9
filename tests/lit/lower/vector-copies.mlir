// RUN: ansorc-opt --split-input-file --pipeline='ansorc-lower{target=x86-64-v3}' %s 2>/dev/null | FileCheck %s

// Rows that follow each other in both buffers are one, here of 56; four vectors of it are copied at a time, and then what
// is left. LLVM leaves the loops as they are.
// CHECK-LABEL: llvm.func @rows_s0(
// CHECK: llvm.icmp "slt"
// CHECK: llvm.load {{.*}} -> vector<32xf32>
// CHECK: llvm.store {{.*}} : vector<32xf32>
// CHECK: llvm.load {{.*}} -> vector<24xf32>
// CHECK: llvm.store {{.*}} : vector<24xf32>
// CHECK: llvm.br {{.*}}loop_annotation = #loop_annotation
// CHECK-NOT: llvm.br
// CHECK: llvm.return
module {
  func.func @rows(%a: memref<9x7x8xf32>, %b: memref<9x9x8xf32>) -> memref<9x9x8xf32> {
    %c = memref.subview %b[0, 1, 0] [9, 7, 8] [1, 1, 1] : memref<9x9x8xf32> to memref<9x7x8xf32, strided<[72, 8, 1], offset: 8>>
    linalg.copy ins(%a : memref<9x7x8xf32>) outs(%c : memref<9x7x8xf32, strided<[72, 8, 1], offset: 8>>)
    return %b : memref<9x9x8xf32>
  }
}

// -----

// A long row is a loop over vectors of its own; what fills it is one number.
// CHECK-LABEL: llvm.func @long_s0(
// CHECK: llvm.shufflevector {{.*}} : vector<64xi16>
// CHECK: llvm.store {{.*}} : vector<64xi16>
// CHECK: llvm.store {{.*}} : vector<2xi16>
module {
  func.func @long(%a: i16, %b: memref<65x2xi16>) -> memref<65x2xi16> {
    linalg.fill ins(%a : i16) outs(%b : memref<65x2xi16>)
    return %b : memref<65x2xi16>
  }
}

// -----

// Elements with gaps between them are no row.
// CHECK-LABEL: llvm.func @gaps_s0(
// CHECK-NOT: vector<
// CHECK: llvm.return
module {
  func.func @gaps(%a: f32, %b: memref<9x8xf32>) -> memref<9x8xf32> {
    %c = memref.subview %b[0, 0] [9, 4] [1, 2] : memref<9x8xf32> to memref<9x4xf32, strided<[8, 2]>>
    linalg.fill ins(%a : f32) outs(%c : memref<9x4xf32, strided<[8, 2]>>)
    return %b : memref<9x8xf32>
  }
}

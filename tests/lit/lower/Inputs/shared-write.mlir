func.func @task(%x: memref<4xf32> {bufferization.writable = false}, %y: memref<8x4xf32> {bufferization.writable = true}) {
  %c0 = arith.constant 0 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %v = vector.load %y[%c0, %c0] : memref<8x4xf32>, vector<4xf32>
  vector.store %v, %y[%c0, %c0] : memref<8x4xf32>, vector<4xf32>
  scf.forall (%i) in (6) {
    memref.store %zero, %y[%i, %c0] : memref<8x4xf32>
  }
  vector.store %v, %y[%c7, %c0] : memref<8x4xf32>, vector<4xf32>
  return
}

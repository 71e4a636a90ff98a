import ForgeCore
import ForgeTensor
import Foundation

/// Uniform on [-1, 1), reproducible.
struct Noise {
    var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }
    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
    }
    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// Unit roundoff of float32.
let u = 0x1p-24

extension Device {
    /// A tensor whose first element is `odd` floats past a cache line, so that no load is aligned by luck.
    func odd(_ values: [Float], rows: Int, columns: Int, odd: Int = 3) throws -> Tensor {
        let storage = try Storage(bytes: (values.count + odd + 1) * 4, on: self)
        let tensor = Tensor(storage, offset: odd, layout: Layout(rows: rows, columns: columns))
        tensor.write(values)
        return tensor
    }
    func zeros(_ rows: Int, _ columns: Int) throws -> Tensor { try odd([Float](repeating: 0, count: rows * columns), rows: rows, columns: columns) }
}

let fast = Backend.present.filter { $0.level != .reference }
let reference = Backend.cpu(.reference)!
/// The kernel library that FORGE_KERNEL_LIBRARY names (packaging/cuda.sh): a GPU's, or the same source run by this processor.
let others = ProcessInfo.processInfo.environment["FORGE_KERNEL_LIBRARY"].map { [try! Backend.cuda(library: $0)] } ?? []
/// What is held against the reference.
let tested = fast + others

/// The largest excess of |a - b| over its bound; negative or zero is agreement.
func excess(_ a: [Float], _ b: [Float], bound: (Int) -> Double) -> Double {
    guard a.count == b.count else { return .infinity }
    var worst = -Double.infinity
    for i in a.indices {
        let over = abs(Double(a[i]) - Double(b[i])) - bound(i)
        worst = over.isNaN ? .infinity : max(worst, over)
    }
    return worst
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

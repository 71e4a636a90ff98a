package import ForgeCore
package import ForgeTensor
import Glibc

/// Cosines and sines of every position and pair: angle = position · theta^(-2i/d).
package struct RotaryTable {
    /// `[positions, headDim / 2]`
    package let cosines: Tensor
    package let sines: Tensor

    /// The angle is formed in float32 exactly as torch forms it, and its cosine rounded once from double.
    package init(_ config: MistralConfig, positions: Int, on device: Device) throws(Fault) {
        let half = config.headDim / 2
        var cosines = [Float](repeating: 0, count: positions * half), sines = cosines
        for i in 0..<half {
            let frequency = 1 / Float(pow(config.ropeTheta, Double(Float(2 * i) / Float(config.headDim))))
            for position in 0..<positions {
                let angle = Double(Float(position) * frequency)
                cosines[position * half + i] = Float(cos(angle))
                sines[position * half + i] = Float(sin(angle))
            }
        }
        self.cosines = try device.tensor(cosines, rows: positions, columns: half)
        self.sines = try device.tensor(sines, rows: positions, columns: half)
    }
}

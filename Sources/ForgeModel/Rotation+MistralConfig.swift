package import ForgeCore
package import ForgeTensor
import Glibc

extension Rotation {
    /// angle = position · frequency, frequency = theta^(-2i/d) unless YaRN stretches it. The angle is formed in float32 exactly as torch forms it, and its cosine
    /// rounded once from double.
    package init(_ config: MistralConfig, positions: Int, on device: Device) throws(Fault) {
        let half = config.headDim / 2, magnitude = Float(config.yarn?.attentionFactor ?? 1)
        let frequencies = (0..<half).map { i in
            let period = Float(pow(config.ropeTheta, Double(Float(2 * i) / Float(config.headDim))))
            return config.yarn?.frequency(pair: i, period: period, dimensions: config.headDim, theta: config.ropeTheta) ?? 1 / period
        }
        func turns(_ scale: (Int) -> Float) throws(Fault) -> Turns {
            var cosines = [Float](repeating: 0, count: positions * half), sines = cosines
            for position in 0..<positions {
                let scale = magnitude * scale(position)
                for i in 0..<half {
                    let angle = Double(Float(position) * frequencies[i])
                    cosines[position * half + i] = Float(cos(angle)) * scale
                    sines[position * half + i] = Float(sin(angle)) * scale
                }
            }
            return Turns(cosines: try device.tensor(cosines, rows: positions, columns: half), sines: try device.tensor(sines, rows: positions, columns: half))
        }
        let queries = try config.queryScale.map { scale throws(Fault) in try turns(scale.factor) }
        self.init(keys: try turns { _ in 1 }, queries: queries)
    }
}

import CForgeKernels
package import ForgeCore

/// A stream of work on one backend: a pool of threads, or a GPU's queue. Operations run in the order they are called.
///
/// Not Sendable: one owner drives it, from one thread at a time.
@safe package final class Device {
    package let backend: Backend
    package let threads: Int
    let stream: fk_stream
    /// Pieces of memory taken so far: a step of training or serving takes none once it has run.
    package internal(set) var storagesTaken = 0

    /// - Parameter threads: workers, the caller included; nil takes the CPUs this process may use (affinity and cgroup quota).
    ///   The number never shows in a result.
    /// - Throws: `.environment` without memory for the workers' scratch.
    package init(_ backend: Backend = .best, threads: Int? = nil) throws(Fault) {
        let wanted = threads ?? Device.usableCPUs
        precondition((1...512).contains(wanted), "a device has 1 to 512 threads")
        var stream: fk_stream?
        let status = unsafe backend.table.pointee.stream_open(&stream, Int32(wanted), 0)
        guard status == FK_OK, let stream = unsafe stream else { throw Device.fault(status, "open a compute stream") }
        self.backend = backend
        unsafe self.stream = stream
        self.threads = Int(unsafe backend.table.pointee.threads(stream))
    }

    deinit { unsafe backend.table.pointee.stream_close(stream) }

    package static var usableCPUs: Int { Int(fk_usable_cpus()) }

    /// Multiply-adds per second from registers alone, times two: what a share of peak is a share of. Takes about `milliseconds`.
    /// - Parameter precision: of the products; a CPU without bfloat16 instructions has its float32 peak for both.
    package func measuredPeak(precision: Precision = .f32, milliseconds: Int = 50) -> Double {
        measuredPeak(flags: Int32(precision.flag), milliseconds)
    }

    /// The same for products with weights in a format: whole numbers for rounded ones.
    package func measuredPeak(_ format: WeightFormat, milliseconds: Int = 50) -> Double {
        guard format.quant != nil else { return measuredPeak(precision: format == .bf16 ? .bf16 : .f32, milliseconds: milliseconds) }
        return measuredPeak(flags: FK_INT8, milliseconds)
    }

    /// The best of five windows: whoever shares the machine may take a part of one.
    private func measuredPeak(flags: Int32, _ milliseconds: Int) -> Double {
        (0..<5).map { _ in unsafe ops.measure_peak(flags, Int32(max(1, milliseconds / 5)), stream) }.max()!
    }

    /// Bytes per second that this device's threads read from memory together: what decoding, which reads every weight once a token, is a share of.
    package func measuredBandwidth() -> Double { unsafe ops.measure_bandwidth(1 << 28, 8, stream) }

    /// Waits until everything given to the stream is done. A GPU says only here that an index lay outside its range.
    package func finish() throws(Fault) { try check(unsafe ops.sync(stream), "finish what was begun") }

    var ops: fk_ops { unsafe backend.table.pointee }

    /// A shape mismatch is a bug; what the machine refuses is a fault.
    func check(_ status: fk_status, _ what: StaticString) throws(Fault) {
        precondition(status != FK_BAD_SHAPE, "\(what): extents do not fit together")
        if status != FK_OK { throw Device.fault(status, "\(what)") }
    }

    static func fault(_ status: fk_status, _ what: String) -> Fault {
        switch status {
        case FK_UNSUPPORTED:
            Fault(.environment, "compute.unsupported", "cannot \(what)", why: "this backend does not have that operation", remedy: "use the CPU backend")
        case FK_MEMORY:
            Fault(.environment, "compute.memory", "cannot \(what)", why: "there is not enough memory", remedy: "take a smaller batch or model", retryable: true)
        default:
            Fault(.environment, "compute.device", "cannot \(what)", why: "the device refused", remedy: "see the daemon's log", retryable: true)
        }
    }
}

import CForgeOS

extension Clock {
    /// Whether something keeps the wall clock right, and how far off the kernel thinks it may be (microseconds); nil when a sandbox
    /// forbids the question.
    package static var discipline: (isSynchronised: Bool, errorMax: Int64)? {
        var errorMax: Int64 = 0
        let result = unsafe fos_clock_discipline(&errorMax)
        return result < 0 ? nil : (result == 1, errorMax)
    }
}

import Testing

@testable import ForgeCLI

@Suite struct DoctorDiskTests {
    @Test(arguments: [("warning", Doctor.Check.Verdict.warning), ("alert", .wrong), ("critical", .wrong)])
    func `a store whose disk fills up is not well`(level: String, verdict: Doctor.Check.Verdict) {
        let check = Doctor.disk(level, of: "forged")
        #expect(check?.verdict == verdict && check?.remedy.contains("free space") == true)
    }

    @Test(arguments: ["well", "unknown"]) func `one with room is not mentioned`(level: String) { #expect(Doctor.disk(level, of: "forged") == nil) }
}

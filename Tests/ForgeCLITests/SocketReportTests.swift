import Testing

@testable import ForgeCLI

@Suite struct SocketReportTests {
    private let lines = [
        #"100 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0) = 5"#,
        #"100 connect(5, {sa_family=AF_UNIX, sun_path="/srv/site/run/admin.sock"}, 110) = 0"#,
        #"101 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0 <unfinished ...>"#,
        #"101 <... socket resumed>) = 6"#,
        #"101 socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, [7, 8]) = 0"#,
        #"101 bind(6, {sa_family=AF_UNIX, sun_path="/srv/site/run/serve.sock"}, 110) = 0"#,
    ]

    @Test func `each kind of socket is counted once a call, with where it went`() {
        var report = SocketReport()
        for line in lines { report.take(line) }
        #expect(report.rows.map { "\($0.call) \($0.family) \($0.count) \($0.what)" } == [
            "bind AF_UNIX 1 /srv/site/run/serve.sock", "connect AF_UNIX 1 /srv/site/run/admin.sock", "socket AF_UNIX 2 ", "socketpair AF_UNIX 1 ",
        ])
        #expect(!report.rows.contains { !$0.isLocal })
        #expect(report.processes == ["100", "101"])
    }

    @Test(arguments: [
        #"9 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3"#, #"9 socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 3"#, #"9 socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3"#,
        #"9 socket(AF_INET, SOCK_STREAM, 0 <unfinished ...>"#, #"9 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = -1"#,
        #"9 io_uring_setup(64, {flags=0}) = 4"#, #"9 socket(0x2c /* AF_XDP */, SOCK_RAW, 0) = 3"#,
    ])
    func `whatever could leave the machine is told apart`(line: String) {
        var report = SocketReport()
        for line in lines { report.take(line) }
        report.take(line)
        #expect(report.rows.first?.isLocal == false)
        #expect(report.rows.filter { !$0.isLocal }.count == 1)
    }
}

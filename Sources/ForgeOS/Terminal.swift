import CForgeOS
package import ForgeCore
import Glibc

/// The person at the other end, if there is one.
package enum Terminal {
    package static func isTTY(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Columns; nil when the descriptor is no terminal.
    package static func width(_ descriptor: Int32) -> Int? {
        let columns = fos_terminal_columns(descriptor)
        return columns > 0 ? Int(columns) : nil
    }

    /// Asks for a secret on the controlling terminal, without echo. The caller wipes the bytes.
    /// - Throws: `os.enxio` when there is no terminal.
    package static func readSecret(_ prompt: String) throws(Fault) -> [UInt8] {
        var buffer = [CChar](repeating: 0, count: 1024)
        let count = try checked("read a passphrase from", "the terminal") { unsafe fos_read_secret(prompt, &buffer, buffer.count) }
        let bytes = buffer[..<count].map { UInt8(bitPattern: $0) }
        for i in buffer.indices { buffer[i] = 0 }
        return bytes
    }

    /// Writes all of it to a descriptor, ignoring a reader that is gone: talk is never worth failing for.
    package static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let n = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done) }
            if n < 0, errno == EINTR { continue }
            if n < 0, errno == EAGAIN {
                usleep(1_000)
                continue
            }
            if n <= 0 { return }
            done += n
        }
    }
}

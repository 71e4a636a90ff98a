import ForgeCore
import ForgeCrypto
import ForgeOS
import ForgeVault

/// Which blobs are being written, and how much of each has been hashed as it came. It keeps book; the work is done by `SegmentLanes`.
///
/// A blob has one writer at a time, so that nothing is written to a file that a commit puts in place; the others wait for their turn.
actor Intake {
    /// Streams that may be in progress at once: each has four threads and some eight MiB.
    static let streamsMax = 16

    private struct Place {
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        /// Segments from the first on whose plaintext passed here, in order, and the digest up to there.
        var seen: (segments: Int, mark: DigestLane.Mark)?
    }

    private var places: [ID: Place] = [:]
    /// Who waits for a turn, over all blobs.
    var waiting: Int { places.values.reduce(0) { $0 + $1.waiting.count } }
    private var streams = 0

    /// The turn to write segments of a blob, from `first` on. It ends with `leave`.
    /// - Returns: where the digest of the plaintext goes on; nil if what stands before `first` was not seen.
    /// - Throws: `.environment` when too many are sending.
    func enter(_ blob: ID, from first: Int) async throws(Fault) -> DigestLane? {
        guard streams < Intake.streamsMax else {
            throw Fault(
                .environment, "upload.busy", "the segments are not taken now", why: "\(Intake.streamsMax) uploads are sending already", remedy: "try again when one has ended",
                retryable: true)
        }
        streams += 1
        await take(blob)
        guard first > 0 else {
            places[blob]?.seen = nil
            return DigestLane()
        }
        guard let seen = places[blob]?.seen, seen.segments >= first else { return nil }
        guard seen.segments == first else {
            // What was hashed is about to be replaced.
            places[blob]?.seen = nil
            return nil
        }
        return DigestLane(after: seen.mark)
    }

    /// - Parameter seen: how far the plaintext has been hashed; nil if it was not.
    func leave(_ blob: ID, seen: (segments: Int, mark: DigestLane.Mark)?) {
        streams -= 1
        if let seen { places[blob]?.seen = seen }
        release(blob)
    }

    /// The turn for all blobs of an upload, to put them in place. It ends with `letGo`.
    func hold(_ blobs: [ID]) async { for blob in blobs { await take(blob) } }

    /// The turn to remove a blob, if nobody has it now.
    func holdIfIdle(_ blob: ID) -> Bool {
        if places[blob]?.isTaken ?? false { return false }
        places[blob, default: Place()].isTaken = true
        return true
    }

    /// The digest of a blob's plaintext if exactly that many segments of it were seen.
    func digest(_ blob: ID, segments: Int) -> Digest? {
        guard let seen = places[blob]?.seen, seen.segments == segments else { return nil }
        return seen.mark.digest
    }

    /// - Parameter forgetting: nothing more will be written to them.
    func letGo(_ blobs: [ID], forgetting: Bool) {
        for blob in blobs {
            if forgetting { places[blob]?.seen = nil }
            release(blob)
        }
    }

    private func take(_ blob: ID) async {
        if places[blob]?.isTaken ?? false {
            // Whoever leaves hands the place on, so it is taken all the while.
            await withCheckedContinuation { places[blob]?.waiting.append($0) }
        } else {
            places[blob, default: Place()].isTaken = true
        }
    }

    private func release(_ blob: ID) {
        guard var place = places[blob] else { preconditionFailure("a turn that ends has begun") }
        if place.waiting.isEmpty {
            place.isTaken = false
            places[blob] = place.seen == nil ? nil : place
        } else {
            let next = place.waiting.removeFirst()
            places[blob] = place
            next.resume()
        }
    }
}

/// The functions of the extension types.
extension Evaluator {
    func call(_ function: ExtensionFunction, _ arguments: [Value]) throws(EvaluationError) -> Value {
        guard arguments.count == function.arity else {
            throw EvaluationError("`\(function.rawValue)` takes \(function.arity) arguments, not \(arguments.count)")
        }
        let a = arguments[0]
        switch function {
        case .ip: return .ip(try parsed(a, function, IPNetwork.init(parsing:)))
        case .decimal: return .decimal(try parsed(a, function, Decimal.init(parsing:)))
        case .datetime: return .datetime(try parsed(a, function, DateTime.init(parsing:)))
        case .duration: return .duration(try parsed(a, function, TimeSpan.init(parsing:)))
        case .isIpv4: return .bool(try ip(a).isV4)
        case .isIpv6: return .bool(try !ip(a).isV4)
        case .isLoopback: return .bool(try ip(a).isLoopback)
        case .isMulticast: return .bool(try ip(a).isMulticast)
        case .isInRange:
            let (address, range) = (try ip(a), try ip(arguments[1]))
            return .bool(address.isInRange(range))
        case .lessThan: return .bool(try decimal(a) < decimal(arguments[1]))
        case .lessThanOrEqual: return .bool(try decimal(a) <= decimal(arguments[1]))
        case .greaterThan: return .bool(try decimal(a) > decimal(arguments[1]))
        case .greaterThanOrEqual: return .bool(try decimal(a) >= decimal(arguments[1]))
        case .offset:
            let (time, span) = (try datetime(a), try duration(arguments[1]))
            guard let result = time.offset(span) else { throw EvaluationError("`offset` leaves the range of datetime") }
            return .datetime(result)
        case .durationSince:
            let (time, earlier) = (try datetime(a), try datetime(arguments[1]))
            guard let result = time.since(earlier) else { throw EvaluationError("`durationSince` leaves the range of duration") }
            return .duration(result)
        case .toDate:
            guard let result = try datetime(a).date else { throw EvaluationError("`toDate` leaves the range of datetime") }
            return .datetime(result)
        case .toTime: return .duration(try datetime(a).timeOfDay)
        case .toMilliseconds: return .long(try duration(a).milliseconds)
        case .toSeconds: return .long(try duration(a).milliseconds / 1000)
        case .toMinutes: return .long(try duration(a).milliseconds / 60_000)
        case .toHours: return .long(try duration(a).milliseconds / 3_600_000)
        case .toDays: return .long(try duration(a).milliseconds / DateTime.day)
        }
    }

    private func parsed<T>(_ value: Value, _ function: ExtensionFunction, _ parse: (String) -> T?) throws(EvaluationError) -> T {
        let text = try string(value).text
        guard let result = parse(text) else { throw EvaluationError("`\(function.rawValue)` cannot read `\(text)`") }
        return result
    }

    private func ip(_ value: Value) throws(EvaluationError) -> IPNetwork {
        guard case .ip(let network) = value else { throw mismatch("ipaddr", value) }
        return network
    }

    private func decimal(_ value: Value) throws(EvaluationError) -> Decimal {
        guard case .decimal(let number) = value else { throw mismatch("decimal", value) }
        return number
    }

    private func datetime(_ value: Value) throws(EvaluationError) -> DateTime {
        guard case .datetime(let time) = value else { throw mismatch("datetime", value) }
        return time
    }

    private func duration(_ value: Value) throws(EvaluationError) -> TimeSpan {
        guard case .duration(let span) = value else { throw mismatch("duration", value) }
        return span
    }
}

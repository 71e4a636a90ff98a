// ForgeQuant: a language of formulas over daily prices, whose interpreter is a judge.
//
// owns      the language (docs/formats/quant-language.md), tasks that ask in English for one of its formulas, and the verdict on an answer
// promises  exact and total: every formula has the same values, undefined days included, on every machine; any bytes get a verdict;
//           a seed draws the same tasks everywhere, and held-out tasks share no meaning with training tasks, whatever the seeds
// never     reads a file, a clock or floating-point prices; never lets a task carry its own reference answer
// flow      SplitMix64 → FormulaDraw → Formula → Phrasing → QuantTask
//           answer's bytes → FormulaReader → Formula → values(on: Market) → Verdict → reward

/// The language and the draw of its tasks; a change of either is a new version.
package enum QuantVersion {
    package static let current = "forge-quant/v1"
}

package import ForgeCore
import ForgeCrypto

/// The text on which every imported model is scored before anybody may use it: a few languages, figures and code, the same in every version of Forge that
/// names the same digest. A model of language needs far fewer than the eight bits of a byte for it; a checkpoint that was read wrongly about as many.
package enum MeasuringText {
    package static let documents: [[UInt8]] = [english, french, german, spanish, figures, program].map { Array($0.utf8) }

    /// Over the documents one after another, each behind its length in eight bytes, the least significant first.
    package static let digest: Digest = {
        var hasher = SHA256Hasher()
        for document in documents {
            hasher.update((0..<8).map { UInt8(truncatingIfNeeded: document.count >> (8 * $0)) })
            hasher.update(document)
        }
        return hasher.finish()
    }()

    private static let english = """
        The archive is open on weekdays from nine until five. Visitors sign the register at the desk, leave coats and bags in the lockers, and bring only pencils and paper into the reading
        room. A request that arrives before noon is usually answered on the same day; one that arrives later may have to wait until the next morning. Documents younger than thirty years are
        shown only with the written consent of the office that created them. If a page is damaged, please do not try to repair it: tell the person on duty, who will note its number and send
        it to the workshop. Copies can be ordered, except of bound volumes, whose spines would suffer.

        """

    private static let french = """
        Le conseil se réunit le premier mardi de chaque mois. L'ordre du jour est affiché à l'entrée de la mairie au moins huit jours avant la séance, et chacun peut demander qu'une question
        y soit ajoutée. Les décisions sont prises à la majorité des membres présents ; en cas de partage, la voix de la présidente l'emporte. Le procès-verbal est relu, corrigé s'il y a lieu,
        puis signé par deux personnes avant d'être rangé avec les précédents.

        """

    private static let german = """
        Wer eine Wohnung mietet, bekommt vom Vermieter ein Protokoll, in dem alle Zimmer, Schlüssel und Zähler aufgeführt sind. Beide Seiten gehen es gemeinsam durch und unterschreiben es am
        Ende. Kleinere Mängel, die beim Einzug niemand bemerkt hat, dürfen innerhalb von vierzehn Tagen nachgemeldet werden. Was später kaputtgeht, wird repariert, sobald ein Handwerker Zeit
        hat; bei Wasserschäden soll man jedoch sofort anrufen, auch in der Nacht.

        """

    private static let spanish = """
        La receta es sencilla y se prepara en menos de una hora. Primero se lavan las verduras y se cortan en trozos pequeños; después se calienta el aceite y se doran la cebolla y el ajo. Se
        añade el arroz, se remueve durante dos minutos y se cubre con caldo. Cuando el líquido se haya absorbido, se apaga el fuego y se deja reposar la olla, tapada, cinco minutos más.

        """

    private static let figures = """
        | quarter | orders | returned | revenue |
        |---|---|---|---|
        | 1 | 1,204 | 31 | 48,160.00 |
        | 2 | 1,377 | 28 | 55,080.50 |
        | 3 | 1,190 | 40 | 47,600.25 |
        | 4 | 1,655 | 35 | 66,200.75 |
        The four quarters add up to 5,426 orders, of which 134 came back, and to a revenue of 217,041.50.

        """

    private static let program = """
        def median(values):
            ordered = sorted(values)
            middle = len(ordered) // 2
            if len(ordered) % 2 == 1:
                return ordered[middle]
            return (ordered[middle - 1] + ordered[middle]) / 2


        SELECT customer, SUM(amount) AS total
        FROM invoices
        WHERE paid = 0 AND due < '2026-01-01'
        GROUP BY customer
        HAVING SUM(amount) > 1000
        ORDER BY total DESC;

        """
}

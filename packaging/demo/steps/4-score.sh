heading '4. Sealed, with its lineage, and scored'
need model ls; need eval
tell 'The model is in the registry as sealed blobs, with a signed manifest and its lineage. It is scored in bits per byte on the held-out documents, against a byte-level 5-gram model with modified Kneser-Ney smoothing fitted on the same training documents: the best that counting alone can do.'
as dana run forge model ls
as dana run forge model show manuals@1
as dana run forge model lineage manuals@1
as dana run forge eval manuals@1
tell 'What a model of this size can do: continue text in the style of a manual, with its sections, options and phrases. What it cannot do: know facts, follow instructions, or be relied on for any statement. It is here to show the path, which is the same for a model a thousand times its size.'

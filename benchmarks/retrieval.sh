#!/bin/sh
# nDCG@10 of every mode on BEIR-style folders: sh benchmarks/retrieval.sh DATA [COLLECTION…]
# DATA holds one folder a collection: corpus.jsonl, queries.jsonl, qrels/test.tsv. Indexes are kept in $WORK and reused.
set -eu
data=$1
shift
work=${WORK:-$(mktemp -d)}
model=${MODEL:-minilm}
for collection in "${@:-scifact}"; do
    index="$work/$collection-$model.index"
    samespace build "$data/$collection/corpus.jsonl" --to "$index" --model "$model" --chunker none >&2
    for options in "--mode lexical" "--mode dense" "--mode hybrid" "--mode hybrid --alpha 0.7" "--mode hybrid --fusion rrf"; do
        # shellcheck disable=SC2086
        value=$(samespace eval "$index" "$data/$collection" $options --metrics nDCG@10 | sed -n 's/^nDCG@10 *//p')
        printf '%s | %s | %s | %s\n' "$collection" "$model" "$options" "$value"
    done
done

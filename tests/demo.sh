#!/bin/sh
# What `make demo` shows. Everything it makes lies in .demo; run again, it builds only what changed.
set -eu
samespace="$BIN/samespace"
demo=.demo
mkdir -p "$demo"

step() { printf '\n\033[1m# %s\033[0m\n' "$1"; shift; printf '$ samespace'; for word; do case "$word" in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done; echo; "$samespace" "$@"; }

step "From a folder to an index" build sample_corpus --to "$demo/sample.index"
step "An English question, by meaning and by words" search "$demo/sample.index" "where do otters dig along the bank" -k 2
step "A Chinese question, by words" search "$demo/sample.index" "龙井茶用多少度的水泡" --mode lexical -k 2
step "Read query and passage together" rerank "$demo/sample.index" "how to open a bank account" -k 2
step "Is it the same space? The model the index was made with:" verify-space "$demo/sample.index"

echo
echo "(now a model of the same architecture and dimension, its weights slightly moved)"
"$BIN/python" tests/perturbed_model.py "$demo/perturbed"
if step "The other model is refused" verify-space "$demo/sample.index" --model "$demo/perturbed"; then
    echo "the other model was accepted: that must not happen" >&2
    exit 1
else
    code=$?
fi
echo "exit code $code"
[ "$code" -eq 13 ]

cat <<END

All of it worked. Type next:

  $samespace search $demo/sample.index "your question"
  $samespace build ~/notes --to notes.index
  $samespace search notes.index "…"
  $samespace --help
END

#!/bin/sh
# What `make demo` shows. Everything it makes lies in .demo; run again, it builds only what changed.
set -eu
samespace="$BIN/samespace"
demo=.demo
mkdir -p "$demo"

step() { printf '\n\033[1m# %s\033[0m\n' "$1"; shift; printf '$ samespace'; for word; do case "$word" in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done; echo; "$samespace" "$@"; }

step "From a folder in English and Chinese to an index" build sample_corpus --to "$demo/sample.index"
step "An English question, by meaning and by words" search "$demo/sample.index" "where do otters dig along the bank" -k 2
step "A Chinese question" search "$demo/sample.index" "龙井茶用多少度的水泡" -k 2
step "A mixed one" search "$demo/sample.index" "pod OOMKilled 怎么处理" -k 2
step "An index of Chinese documents" build sample_corpus/zh --to "$demo/chinese.index"
step "asked in English" search "$demo/chinese.index" "company mailbox quota exceeded, cannot send" -k 2
step "Read query and passage together" rerank "$demo/sample.index" "how to open a bank account" -k 2
step "English documents take a smaller model" build sample_corpus/en --to "$demo/english.index"
step "Is it the same space? The model the index was made with:" verify-space "$demo/english.index"

echo
echo "(now a model of the same architecture and dimension, its weights slightly moved)"
"$BIN/python" tests/perturbed_model.py "$demo/perturbed"
if step "The other model is refused" verify-space "$demo/english.index" --model "$demo/perturbed"; then
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

#!/bin/sh
# Measures charflow on an NVIDIA GPU and on the CPU beside it, in about ten minutes:
#
#     benchmarks/gpu.sh CHAT PERSON OUT
#
# CHAT is a CSV of a chat, PERSON one of its users. OUT gets the JSON of each measurement and what was said meanwhile;
# tables of GPU and CPU side by side are printed, and lie in OUT/tables.md. PYTHON names another python3.
set -u
if [ $# -ne 3 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
chat=$1 person=$2 out=$3 python=${PYTHON:-python3}
mkdir -p "$out"
if ! "$python" -c 'import tensorflow, sys; sys.exit(not tensorflow.config.list_physical_devices("GPU"))' 2> "$out/devices.log"
then
    echo "TensorFlow sees no GPU here: $out/devices.log has what it says." >&2
    exit 2
fi

# on gpu|cpu NAME COMMAND...: keeps the JSON of a charflow command; one that fails does not keep the others from running.
on() {
    device=$1 name=$2
    shift 2
    [ "$device" = gpu ] || hidden=CUDA_VISIBLE_DEVICES=-1
    echo "$name on the $device ..." >&2
    if ! env ${hidden:-CHARFLOW_BENCH=1} timeout "${LIMIT:-150}" "$python" -m charflow "$@" --json \
        > "$out/$device-$name.json" 2> "$out/$device-$name.log"; then
        echo "$name on the $device failed: $(tail -n 1 "$out/$device-$name.log")" >&2
        rm -f "$out/$device-$name.json"
    fi
    unset hidden
}

both() {
    on gpu "$@"
    on cpu "$@"
}

train="bench train $chat --user $person --workers 0 --turns 3 --seconds 6"
both train $train
both train-256-windows $train --batch-size 256
both train-1024-units $train --units 1024 --batch-size 256
for precision in float16 bfloat16; do
    on gpu "train-$precision" $train --precision "$precision"
done
both decode bench decode --turns 3 --no-xla
both serve bench serve --turns 1
# A run of the GPU, exported there, loads and writes where there is none.
on gpu run train "$chat" --user "$person" --from none --time-limit 20 --out "$out/run"
on gpu export export "$out/run" --to "$out/models"
on cpu export export "$out/run" --to "$out/models"

"$python" -m charflow.benchmarks.side_by_side "$out" | tee "$out/tables.md"

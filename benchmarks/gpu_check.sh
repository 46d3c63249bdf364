#!/bin/sh
# Check and measure FaceFusion on a machine with an accelerator, without a network, in less than 8 minutes.
#
#     benchmarks/gpu_check.sh [--device cuda|cpu] [--wheels FOLDER] [--output FILE] [--reduced]
#     benchmarks/gpu_check.sh --split WHEEL FOLDER
#     benchmarks/gpu_check.sh --collect FOLDER
#
# The wheels that the machine lacks lie in FOLDER (default: .gpu-wheels in the checkout). A wheel of more than 60 MiB
# lies there as parts NAME.whl.part-aa, NAME.whl.part-ab ... with its digest NAME.whl.sha256, as --split writes them.
# Where only 64 MiB travel at a time, carry a few parts per call and run --collect, which keeps them in
# $GPU_CHECK_HOME (default: /tmp/gpu_check); the last call runs the check.
#
# The check also needs the embedded weights in models/weights. Its result is one JSON object in FILE (default:
# gpu_check.json), written again after each part, so that the figures of finished parts survive a time limit.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
home=${GPU_CHECK_HOME:-/tmp/gpu_check}
wheels=$root/.gpu-wheels
device=cuda
output=gpu_check.json
reduced=

fail() {
    echo "gpu_check: $1" >&2
    exit 2
}

split_wheel() {
    mkdir -p "$2"
    name=$(basename "$1")
    split -b 60m "$1" "$2/$name.part-"
    (cd "$(dirname "$1")" && sha256sum "$name") >"$2/$name.sha256"
}

# Copy wheels and parts to $home/parts.
collect() {
    mkdir -p "$home/parts"
    for file in "$1"/*.whl "$1"/*.whl.part-* "$1"/*.whl.sha256; do
        [ -e "$file" ] && cp "$file" "$home/parts/"
    done
    return 0
}

# Join the parts of each wheel and check the digest of the result.
join_parts() {
    mkdir -p "$home/wheels"
    for first in "$home/parts"/*.whl.part-aa; do
        [ -e "$first" ] || continue
        wheel=${first%.part-aa}
        cat "$wheel".part-* >"$home/wheels/$(basename "$wheel")"
        [ -e "$wheel.sha256" ] || fail "the digest $(basename "$wheel").sha256 is missing"
        (cd "$home/wheels" && sha256sum --check --quiet "$wheel.sha256") ||
            fail "the parts of $(basename "$wheel") are incomplete or damaged"
    done
    for wheel in "$home/parts"/*.whl; do
        [ -e "$wheel" ] && cp "$wheel" "$home/wheels/"
    done
    return 0
}

while [ $# -gt 0 ]; do
    case $1 in
    --device) device=$2 && shift 2 ;;
    --wheels) wheels=$2 && shift 2 ;;
    --output) output=$2 && shift 2 ;;
    --reduced) reduced=--reduced && shift ;;
    --split) split_wheel "$2" "$3" && exit 0 ;;
    --collect) collect "$2" && exit 0 ;;
    *) fail "unknown argument $1" ;;
    esac
done

python=${PYTHON:-python3}
[ -d "$wheels" ] && collect "$wheels"
[ -d "$home/parts" ] && join_parts
if [ -d "$home/wheels" ] && [ -n "$(ls "$home/wheels")" ]; then
    # Packages of the machine serve, too; two distributions of onnxruntime in one folder would overwrite each other.
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$home/site" "$home/wheels"/*.whl || fail 'the wheels cannot be installed'
    PYTHONPATH=$home/site${PYTHONPATH:+:$PYTHONPATH}
fi
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
exec timeout 475 "$python" "$root/benchmarks/gpu_check.py" --device "$device" --output "$output" $reduced

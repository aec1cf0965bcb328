#!/usr/bin/env bash
# What one GPU makes of Stable Diffusion 1.4's sizes (32 frames, 64x64 latents, bf16), in 8 minutes at most:
#
#     bash benchmarks/gpu.sh runs/gpu
#
# writes a JSON for each form into the folder, `eager.json` being a calibration for
# `tav plan --calibration`, then prints them as one table. A form that does not run here is told and
# left out. DEVICE=cpu CONFIG=tiny tries the script without a GPU.
set -uo pipefail
folder=${1:?"name a folder for what is measured"}
python=${PYTHON:-python}
device=${DEVICE:-cuda}
sizes=(--config "${CONFIG:-sd14}" --device "$device" --dtype "${DTYPE:-bf16}" --repeats 5)
limit=${SECONDS_IN_ALL:-480}
mkdir -p "$folder"

form() { # form NAME ARGUMENTS…
    local name=$1 left=$((limit - SECONDS))
    shift
    if ((left < 10)); then
        echo "$name: no time left" | tee "$folder/$name.log"
        return
    fi
    if timeout "$left" "$python" -m benchmarks.train_step --json "${sizes[@]}" "$@" \
        >"$folder/$name.part" 2>"$folder/$name.log"; then
        mv "$folder/$name.part" "$folder/$name.json"
        echo "$name: done after $SECONDS s"
    else
        rm -f "$folder/$name.part"
        echo "$name: does not run here: $(tail -n 1 "$folder/$name.log")"
    fi
}

steps=(--parts train_step guided_step)
form eager
timeout 90 "$python" -m benchmarks.tiny_clip --device "$device" >"$folder/tiny_clip.txt" 2>&1
tail -n 1 "$folder/tiny_clip.txt"
for backend in _native_flash _native_cudnn _native_efficient flash sage xformers; do
    form "$backend" "${steps[@]}" --attention-backend "$backend"
done
form checkpointing --parts train_step --checkpointing
form compile "${steps[@]}" --compile
form plain "${steps[@]}" --plain
"$python" -m benchmarks.forms "$folder"

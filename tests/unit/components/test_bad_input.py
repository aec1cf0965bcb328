# ruff: noqa: E501 - a table
"""Bad input of every kind: each message tells what was found, what is allowed and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.config import load_run_config
from components.errors import ItemError, UserError
from components.manifest.edits import EditEntry, expand_edit
from components.manifest.load import from_document, load_manifest
from components.records.revisions import resolve_revision
from components.results.compare import RunScores, compare_runs
from components.results.comparison_files import writer_of
from components.steps.score import check_protocols
from components.storage.address import checked_path
from components.storage.open import open_store
from components.video.sources import resolve_uri
from tav_model.errors import TavModelError
from tests.bad_input import (
    Kind,
    base,
    base_config,
    base_with,
    changed_object,
    comparison,
    config,
    damaged_part,
    edit,
    entry,
    lacking,
    large_manifest,
    manifest,
    not_finite,
    other_form,
    parquet_manifest,
    part_of_another_version,
    pickled,
    pipeline_of_another_kind,
    stale,
    stored,
    truncated,
    video,
    without_words,
)

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{last}'] * 10)}]\n"
    for last, name in zip("abcdefg", "bcdefgh", strict=True)
)
IDS = r"ids are 1 to 100 of A-Z a-z 0-9 \. _ -"
SAFE = r"segments are 1 to 200 of A-Z a-z 0-9 _"

# fmt: off
KINDS = [
    video("missing", r"missing\.mp4", "does not exist", "check the manifest's uri"),
    video("text_as_mp4", r"text\.mp4", "is text, and no video", "name the video file itself"),
    video("playlist_as_mp4", r"list\.mp4", "is a playlist, which is text", "name the video file"),
    video("concat_as_webm", r"list\.webm", "is a playlist, which is text", "name the video file"),
    video("empty_file", r"empty\.mp4", r"is empty \(0 bytes\)", "download it again"),
    video("cut_after_the_index", r"cut\.mp4.*it has \d+ bytes", r"at least \d+", "copy or download"),
    video("cut_before_the_index", r"cut\.mp4.* has \d+ bytes", r"at least \d+", "copy or download"),
    video("damaged_in_the_middle", r"damaged\.mp4 is damaged", r"after frame \d+ \(h264", "copy or downl"),
    video("no_frames", r"sound\.mp4 holds 0 video streams", "1 is needed", "needed"),
    video("too_few_frames", r"short\.mp4 has 7 frames", "8 are needed", r"lower video\.num_frames"),
    video("unsupported_container", r"a\.rm is RealMedia", "no video that can be read", "convert it to mp4"),
    video("web_page_as_mp4", r"page\.mp4", r"is a web page \(HTML\)", "download it again"),
    video("refusal_of_a_store_as_mp4", r"denied\.mp4", r"error message \(AccessDenied\)", "download it again"),
    video("git_lfs_pointer", r"pointer\.webm", "is a Git LFS pointer", "run git lfs pull"),
    video("archive_as_avi", r"clips\.avi", "is a ZIP archive", "unpack it and name the videos"),
    video("picture_as_mp4", r"picture\.mp4", "is a JPEG picture", "into a folder and name the folder"),
    video("rare_codec", r"a\.avi has the codec 'asv2'", "which is not read", "convert it"),
    video("transport_stream_cut_in_a_packet", r"cut\.ts.* has \d+ bytes", r"at least \d+", "copy or down"),
    video("gif_cut_in_a_picture", r"cut\.gif.* has \d+ bytes", r"at least \d+", "copy or download"),
    video("animation_cut", r"cut\.webp.* has \d+ bytes", r"at least \d+", "copy or download"),
    video("avi_cut", r"cut\.avi.* has \d+ bytes", r"at least \d+", "copy or download"),
    video("vp9_with_other_bytes_in_the_middle", r"damaged\.webm", "damaged", "copy or"),
    video("ogg_with_other_bytes_in_the_middle", r"damaged\.ogv is damaged", "CRC mismatch|page", "copy or"),
    video("unknown_codec", r"codec\.mp4", "has a codec that FFmpeg does not know", "convert it"),
    video("a_rate_of_no_video", r"rate\.mp4 plays at 90000 frames", "0.0001 to 10000", r"as video\.fps"),
    video("only_a_cover", r"song\.mp4 holds 1 cover", "0 moving .* but 1 is needed", "leave it out"),
    video("at_an_angle", r"tilted\.mp4 .* 45 degrees", "only multiples of 90", "re-encode it upright"),
    video("cropped_beyond_its_edges", r"cropped\.mp4 .* by -?\d", "frames are 64×48", "re-encode it"),
    video("dolby_vision_alone", r"dolby\.mp4 .* profile 5", "HDR10, HLG or SDR base", "export it as"),
    video("colours_without_a_conversion", r"ictcp\.mp4 .*14, ICtCp", "cannot be", "re-encode it as BT"),
    video("fields_as_frames", r"fields\.mp4 is interlaced HEVC", "half the height", "deinterlace and"),
    video("empty_folder", "'frames' holds 0 frames", r"that end in \.png, ", "it needs images"),
    video("folder_with_a_bad_image", r"frames/3\.png", "is no readable image", "save it again"),
    video("folder_of_two_sizes", r"3\.png is 65×48", "are 64×48", "give all frames one size"),
    video("folder_of_two_sets", r"8 left_#\.png, 8 right_#\.png", "1 is a clip", "keep one in it"),
    video("folder_of_two_cameras", r"cam0_0\.png, …, cam1_0\.png", "1 is a clip", "give each a folder"),
    video("folder_with_a_number_twice", r"0?3\.jpe?g and .*3\.jpe?g", "have one number", "keep one"),
    video("folder_of_pages", r"3\.tif is a TIFF of several", "a frame is one", "save each as a file"),
    video("folder_with_deep_images", r"3\.png has mode I;16", "8 bits a channel", "save it with"),
    video("folder_with_an_image_bomb", r"0\.png .*600000000 pixels", r"limit .*\d{8}", "scale|save"),
    video("too_long_to_cover", r"has \d+ pixels when scaled", r"limit is 35389440", "use .*fit pad"),
    video("pipe", r"pipe\.mp4", "is no regular file", "copy its content to one"),
    video("folder_as_mp4", r"'folder\.mp4' holds 0 frames", r"that end in \.png", "it needs images"),
    video("name_that_is_no_unicode", r"1\.png", "is no readable image", "save it again"),
    video("name_too_long", "x{300}", "name too long|File name too long", "cannot be read"),
    video("linked_to_itself", r"loop\.mp4", "[Ss]ymbolic links|does not exist", "cannot be|check"),
    video("endless", r"endless\.gif", r"after 5.* s, which is the limit", "cut or re-encode it"),
    video("too_many_frames", "has 1000000 frames", "limit is 100000", r"raise video\.limits\.frames"),
    video("too_large_a_frame", "has 40000000 pixels", "limit is 35389440", "scale it down|copy"),
    video("too_long", r"has 5\d\d\d.* seconds", "limit is 1000", r"raise video\.limits\.duration"),
    video("too_large_a_file", "has 9663676416 bytes", "limit is 8589934592", "cut or re-encode it"),
    entry("id-traversal", {"id": "../../etc/passwd"}, r"'\.\./\.\./etc/passwd'", IDS, "rename it"),
    entry("id-absolute", {"id": "/etc/passwd"}, "'/etc/passwd'", IDS, "rename it"),
    entry("id-backslash", {"id": "..\\a"}, r"'\.\.\\\\a'", IDS, "rename it"),
    entry("id-percent", {"id": "%2e%2e%2fa"}, "'%2e%2e%2fa'", IDS, "rename it"),
    entry("id-fullwidth-dots", {"id": "．．／a"}, "'．．／a'", IDS, "rename it"),
    entry("id-dots-inside", {"id": "a..b"}, r"'a\.\.b'", r"without '\.\.'", "rename it"),
    entry("id-nul", {"id": "a\0b"}, r"U\+0000", "control character", "remove it"),
    entry("id-right-to-left", {"id": "a\u202egpj.exe"}, r"U\+202E", "control character", "remove it"),
    entry("id-too-long", {"id": "a" * 101}, "'aaaa", IDS, "rename it"),
    entry("id-of-a-device", {"id": "NUL.mp4"}, r"'NUL\.mp4'", "no device's name", "rename it"),
    entry("id-hidden", {"id": ".ssh"}, r"'\.ssh'", "beginning with a letter or digit", "rename it"),
    entry("id-shell", {"id": "$(reboot)"}, r"'\$\(reboot\)'", IDS, "rename it"),
    entry("id-number", {"id": 7.5}, r"is 7\.5 \(float\)", "must be text", "put it in quotes"),
    entry("prompt-nan", {"prompt": "nan"}, "prompt of video 'a' is 'nan'", "is missing", "leave it out"),
    entry("uri-scheme", {"uri": "http://h/a.mp4"}, "'http'", "local path, file:// or s3://", "use a"),
    entry("uri-no-bucket", {"uri": "s3:///a.mp4"}, "'s3:///a.mp4'", "names no bucket", "use s3://"),
    entry("uri-long", {"uri": "a" * 2001}, "has 2001 characters", "limit is 2000", "shorten it"),
    entry("uri-control", {"uri": "a\n.mp4"}, r"U\+000A", "control character", "remove it"),
    entry("prompt-empty", {"prompt": " "}, "prompt of video 'a' is empty", "at least one", "give"),
    entry("prompt-long", {"prompt": "x" * 2001}, "2001 characters", "limit is 2000", "shorten it"),
    entry("prompt-bell", {"prompt": "a\x07"}, r"U\+0007", "control character", "remove it"),
    entry("prompt-surrogate", {"prompt": "a\ud800"}, r"U\+D800", "control character", "remove it"),
    entry("frames-zero", {"frames": {"num_frames": 0}}, "is 0", "at least 1", "one frame or more"),
    entry("frames-limits", {"frames": {"limits": {}}}, "unknown key 'limits'", "known: num_fr", "kno"),
    entry("unknown-key", {"promt": "x"}, "'promt'", "unknown key", "did you mean 'prompt'"),
    edit("prompt-empty", {"prompt": ""}, "an edit's prompt is empty", "at least one word", "give"),
    edit("prompt-format", {"prompt": "{x.__class__}"}, "__class__", r"only .* \{caption\}", "only"),
    edit("prompt-overrides", {"prompt": "a\u2067b"}, r"U\+2067", "control character", "remove it"),
    edit("both", {"prompt": "x", "replace": {"a": "b"}}, "not both", "either prompt or", "needs"),
    edit("category", {"prompt": "x", "category": "objekt"}, "'objekt'", "object, backg", "use"),
    manifest("yaml-no-yaml", "videos: [}", "line 1", "is no YAML", "expected"),
    manifest("yaml-empty", b"", "is empty", "must be a mapping", "videos"),
    manifest("yaml-none", "videos: []", "names 0 videos", "at least 1", "list them in videos:"),
    manifest("yaml-mapping", "videos: {a: b}", "names 0 videos", "at least 1", "list them in"),
    manifest("yaml-bomb", BOMB + "videos: *h", r"aliases \(\*name\)", "2000000 values", "write .* out"),
    manifest("yaml-merge", "a: &a {id: x}\nvideos:\n- <<: *a", "line 3: merges", "not read", "write"),
    manifest("yaml-deep", f"videos: {'[' * 99}{']' * 99}", "nested", "12 levels", "use fewer"),
    manifest("yaml-twice", "videos: []\nvideos: []", "line 2: .*'videos'", "given twice", "keep one"),
    manifest("yaml-code", "videos: !!python/name:os.system x", "python/name", "is no YAML", "constr"),
    manifest("yaml-tag", "videos: !!python/object/apply:x [y]", "python/object", "not read", "remove"),
    manifest("yaml-latin", b"videos: \xe9", "line 1", "is not UTF-8", "save it as UTF-8"),
    manifest("yaml-utf16", "videos: []".encode("utf-16"), "line 1", "is not UTF-8", "save it as"),
    manifest("yaml-twins", "videos:\n- {id: A, uri: x.mp4}\n- {id: a, uri: y.mp4}",
             "line 3: the video id 'a' differs from 'A'", "only in case", "rename one"),
    manifest("jsonl-broken", '{"id": "a", "uri": "a.mp4"}\n{"id": ', "line 2", "no JSON", "Expecting"),
    manifest("jsonl-infinite", '{"id": "a", "uri": Infinity}', "line 1.*Inf", "no JSON number", "is no"),
    manifest("json-yaml", "videos: []", "line 1: is no JSON", "Expecting value", "at column 1"),
    manifest("json-lines", '{"id": 1}\n{"id": 2}', "line 2: is no JSON", "Extra data", r"end in \.jsonl"),
    manifest("json-deep", "[" * 9999, "line 1: is nested", "deeper than 12 levels", "use fewer"),
    manifest("json-twice", '{"videos": [],\n"videos": []}', "line 2: .*'videos'", "given twice", "keep one"),
    manifest("json-infinite", '{"videos":\n[-Infinity]}', "line 2: .*-Infinity", "no JSON number", "is no"),
    manifest("yaml-id-number", "videos: [{id: 010, uri: a.mp4}]", r"is 8 \(int\)", "must be text", "put it"),
    manifest("yaml-next-line", 'videos: ["a\x85b"]', r"line 1: holds U\+0085", "ends the line", "remove it"),
    manifest("jsonl-twice", '{"id": "a", "id": "b", "uri": "c"}', "'id'", "given twice", "keep one"),
    manifest("csv-column", "id,uri,promt\n", "'promt'", "unknown column", "did you mean 'prompt'"),
    manifest("csv-columns", "id,uri,uri\n", "'uri'", "given twice", "keep one"),
    manifest("csv-ragged", "id,uri\na,b,c\n", "has 3 cells", "header has 2", "quote cells"),
    manifest("csv-quote", 'id,uri\na,"b\n', "line 2", "is no CSV", "end of data"),
    manifest("csv-no-rows", "id,uri\n", "names 0 videos", "at least 1", "list them"),
    manifest("csv-semicolons", "id;uri\na;b;c\n", "has 3 cells", "header has 2", "quote cells.*semicolons"),
    manifest("csv-nameless", "id,uri,\na,b.mp4,x\n", r"number 3\) holds 'x'", "says nothing", "name it in"),
    manifest("csv-formula", "id,uri\na,#REF!\n", "'uri' holds .*#REF!", "spreadsheet's error", "mend its"),
    manifest("csv-case", "ID,uri\na,b.mp4\n", "'ID'", "unknown column", "did you mean 'id'"),
    manifest("csv-replace", "id,uri,replace\na,b.mp4,x\n", "'x'", "distinct words", "old=new"),
    manifest("parquet-text", b"no parquet", "set.parquet", "is no readable Parquet", "Parquet"),
    manifest("txt-suffix", b"", r"suffix '\.txt'", r"manifests end in \.yaml", "rename it"),
    Kind("manifest-parquet-types", parquet_manifest({"id": [1.5], "uri": ["a.mp4"]}),
         r"row 1: .*1\.5 \(float\)", "must be text", "save it as text"),
    Kind("manifest-parquet-large-id", parquet_manifest({"id": [1e17], "uri": ["a.mp4"]}),
         r"row 1: .*1e\+17 \(float\)", "must be text", "save it as text"),
    Kind("manifest-parquet-edits", parquet_manifest({"id": ["a"], "uri": ["a.mp4"], "edits": ["x"]}),
         "row 1: edits is 'x'", "must be a list", "list"),
    Kind("manifest-huge", large_manifest, "314572800 bytes", "limit is 268435456", "split it"),
    Kind("manifest-missing", lambda folder: load_manifest(f"{folder}/gone.yaml"),
         r"gone\.yaml", "does not exist", "check"),
    Kind("manifest-saved-by-another-release", lambda _: from_document({"version": 99}),
         "version 99", "reads 1", "release"),
    Kind("manifest-replace-part", lambda _: expand_edit(
        EditEntry(name="e", replace={"cat": "dog"}), "a catalogue"),
         "'cat'.*'a catalogue'", "not a word of", "name the whole"),
    Kind("manifest-replace-character", lambda _: expand_edit(
        EditEntry(name="e", replace={"cafe": "bar"}), "a cafe\u0301"),
         "'cafe'", "not a word of", "name a word that is"),
    Kind("uri-in-another-form", other_form, r"'.*\\xe9\.mp4'", "does not exist", "rename it"),
    config("unknown-key", {"tune": {"step": 3}}, r"tune\.step", "unknown key", "mean 'steps'"),
    config("nan", {"ray": {"cpus_per_worker": float("nan")}}, "is nan", "at least 0", "reserves"),
    config("infinite", {"video": {"limits": {"duration": float("inf")}}}, "inf", "at least", "3600"),
    config("negative", {"ray": {"workers": -1}}, "workers is -1", "at least 1", "one worker"),
    config("huge", {"max_failed_fraction": 7}, "is 7.0", "is a fraction", "give 0 to 1"),
    config("type", {"video": {"start": "many"}}, "'many'", "valid integer", r"video\.start"),
    config("word", {"video": {"fit": "zoom"}}, "'zoom'", "'crop', 'pad' or 'stretch'", "should be"),
    config("size", {"video": {"width": 500}}, "width is 500", "multiple of 8", "try 496 or 504"),
    config("twice", "run: a\nrun: b", "line 2: the key 'run'", "given twice", "keep one"),
    config("list", "[1]", "holds list", "a mapping is needed", "mapping"),
    config("binary", b"\xff\xfe\0", "line 1", "is not UTF-8", "save it as UTF-8"),
    config("section", {"model": {}}, r"model\.base", "required", "not given"),
    config("variant-name", {"variants": {"a b": {}}}, "'a b' is no name", "1 to 64 of A-Z", "use"),
    config("variant-path", {"variants": {"../a": {}}}, r"'\.\./a'", "1 to 64 of A-Z", "use"),
    config("variant-case", {"variants": {"a": {}, "A": {}}}, "'[aA]' differs from", "only in case", "rename one"),
    config("variant-nothing", {"variants": {"a": None}}, r"variants\.a", "valid dictionary", "got None"),
    config("variant-list", {"variants": ["a"]}, "'a'", "valid dictionary|mapping", "variants"),
    config("variant-key", {"variants": {"a": {"tun": {}}}}, r"variants\.a\.tun", "unknown key", "mean 'tune'"),
    config("variant-setting", {"variants": {"a": {"tune": {"step": 3}}}}, r"variants\.a: .*tune\.step", "unknown key", "mean 'steps'"),
    config("variant-value", {"variants": {"a": {"tune": {"steps": -1}}}}, "steps", "must be", "variants.a"),
    config("variant-shared", {"variants": {"a": {"video": {"fit": "pad"}}}}, r"variants\.a\.video", "share it", "set it for the run"),
    config("variant-of-variants", {"variants": {"a": {"variants": {}}}}, r"a\.variants", "share it", "make another"),
    config("variant-own", {"variants": {"a": {"own": {}}}}, r"a\.own", "share it|unknown", "may change"),
    config("only", {"only": ["pnp"]}, "no variant 'pnp'", "names none in its configuration", "only one is its method, 'tune_a_video'"),
    config("only of variants", {"variants": {"full": {}, "pnp": {}}, "only": ["pmp"]}, "run has no variant", "'pmp'", "did you mean 'pnp'"),
    config("method", {"method": "sdedt"}, "unknown method 'sdedt'", "did you mean 'sdedit'", "installed methods: "),
    config("method-of-variant", {"variants": {"a": {"method": "pnp"}}}, r"variants\.a: unknown method 'pnp'", "installed", "plug_and_play"),
    config("method-section", {"sdedt": {}}, "sdedt", "unknown key", "mean 'sdedit'"),
    config("method-setting", {"sdedit": {"strenght": 1}}, "strenght", "unknown key", "mean 'strength'"),
    config("method-value", {"sdedit": {"strength": 7}}, "strength.*7", "must be", "sdedit"),
    config("skip", {"edit_friendly": {"skip": 1.0}}, r"skip.*1\.0", "0 .. 1 - 1 / steps", "identity"),
    config("own-model", {"edit_friendly": {"model": "video"}}, "edit_friendly: .*model", "'tuned' or 'image'", "should be"),
    config("eta", {"edit_friendly": {"eta": -1}}, r"eta=-1", "0 .. 1", "uses 1"),
    config("share", {"fatezero": {"self_replace_steps": 8}}, r"self_replace_steps=8", "0 .. 1", "Use 0"),
    config("threshold", {"fatezero": {"mask_threshold": 2}}, r"mask_threshold=2", "0 .. 1", "no mask"),
    config("own", {"own": {}}, "'own'", "unknown key", "stands by its own name"),
    config("precomputed-nothing", {"method": "precomputed"}, "precomputed", r"videos: is required", "not given"),
    config("precomputed-plain", {"precomputed": {"videos": "a.mp4"}}, r"holds no \{edit\}", "each edit is a file", "give a pattern such as"),
    config("pipeline-base", {"wan_v2v": {"base": ""}}, "base=''", "a folder or a hub id", "Name a model"),
    config("pipeline-strength", {"wan_v2v": {"strength": 0}}, "strength=0", "1 / steps", "identity"),
    config("pipeline-offload", {"lucy_edit": {"offload": "modle"}}, "'modle'", "'sequential'", "did you mean 'model'"),
    config("adapter-revision", {"animatediff_v2v": {"adapter_revison": "main"}}, "adapter_revison", "unknown key", "mean 'adapter_revision'"),
    Kind("pipeline-kind", pipeline_of_another_kind, "'StableDiffusionPipeline'", "WanPipeline or", "is needed"),
    config("precomputed-name", {"precomputed": {"videos": "{vid}/{edit}.mp4"}}, r"holds \{vid\}", r"only \{video\} and", r"write \{\{"),
    config("precomputed-brace", {"precomputed": {"videos": "{edit.mp4"}}, "is no pattern", "expected '}'", "for a brace"),
    Kind("config-override", lambda folder: load_run_config(_minimal(folder), ("tune.steps",)),
         r"'tune\.steps'", "form key=value", r"try tune\.steps=20"),
    Kind("config-protocol", lambda _: check_protocols(["tav_papr_v1"]),
         "tav_papr_v1", "tav_paper_v1", "mean|known|use"),
    stored("part-of-another-version", part_of_another_version,
           "version 0", "reads 1", "use the release that wrote it, or another run root"),
    stored("part-damaged", lambda store: damaged_part(store, cut=False),
           r"tables/videos/part-\d+", "SHA-256", "move it away and run again"),
    stored("part-truncated", lambda store: damaged_part(store, cut=True),
           r"tables/videos/part-\d+", "no readable part", "move it away and run again"),
    stored("object-changed", changed_object, r"a\.safetensors has sha256 ", "row says 0{64}", "delete"),
    base("pickled", pickled, r"unet", r"pickles, .* not read", "Load and save"),
    base("truncated", truncated, r"vae/diff.*safetensors", r"\d+ bytes", "copy or"),
    base("two-sets", stale, r"vae holds both", "libraries differ", "Remove the one"),
    base("no-words", without_words, "tokenizer", "merges.txt", "Copy or download"),
    base("nan", not_finite, r"model\.safetensors", "NaN or infinity", "Copy or"),
    base("lacks", lacking, r"conv_in\.bias", "do not fit", "Take both from one"),
    base("no-json", lambda f: (f / "vae/config.json").write_text("{"), "vae", "as JSON", "Copy or"),
    base("inpainting", base_config("unet", in_channels=9), "in_channels=9", "must be 4", "Use a base"),
    base("sdxl", base_config("unet", addition_embed_type="text_time"), "'text_time'", "abs", "Use a"),
    base("width", base_config("unet", cross_attention_dim=9), "=9", "must be 32", "Take both from"),
    base("tokens", base_config("tokenizer", model_max_length=99), "=99", "77 tokens", "Set it to 77"),
    base("spacing", base_config("scheduler", timestep_spacing="linspace"), "'linspace'", "leading", "Use"),
    base("zero-snr", base_config("scheduler", rescale_betas_zero_snr=True), "zero_snr=True", "epsilon", "Set"),
    base("flow", base_config("scheduler", _class_name="FlowMatchEulerDiscreteScheduler"),
         "FlowMatchEuler", "discrete noise levels", "Use a base"),
    base("sample", base_config("scheduler", prediction_type="sample"), "'sample'", "epsilon, v_", "Use"),
    base("new-key", base_config("scheduler", warp=2), "warp=2", "not known", "Remove it, or set it to"),
    base("betas", base_config("scheduler", trained_betas=[1]), "1 values", "1000 numbers", "Repair"),
    Kind("model-steps", base_with(lambda _: None, invert={"steps": 501}),
         "steps=501", "90% must be", "Set invert.steps to 500 or 900"),
    Kind("root-segment", lambda _: open_store("s3://b/a//b"), "s3://b/a//b", "segment ''", "write the address without"),
    Kind("uri-out-of-bucket", lambda _: resolve_uri("../../v.mp4", "s3://b/a"), r"'\.\./\.\./v\.mp4'", "out of the bucket", "give its"),
    Kind("model-missing", lambda _: resolve_revision("/no/such/folder"),
         "'/no/such/folder'", "no folder here and no hub id", "give a model's folder"),
    comparison("measure", "'tav_paper_v1.flicke'", "does not hold", "it has seconds, tav_", bounds={"tav_paper_v1.flicke": 1}),
    comparison("bound", "is -1", "0 or more", "must be", bounds={"tav_paper_v1.textual_alignment": -1}),
    comparison("variant", "'pnq'", "no variant", "did you mean 'pnp'", chosen=("pnq",)),
    comparison("alone", "run-0 has the one variant 'full'", "nothing is compared", "name another run",
               chosen=("full",), bounds={"seconds": 1}),
    Kind("compare-suffix", lambda _: writer_of("c.xlsx"), r"'\.xlsx'", "must be one", r"\.md, \.json"),
    Kind("compare-unscored", lambda _: compare_runs({"r": RunScores(variants=(), rows=())}),
         "r has no score", "nothing to compare", "`tav status r`"),
]
# fmt: on


def _minimal(folder: Path) -> Path:
    (folder / "run.yaml").write_text("{run: r, manifest: m, model: {base: org/name}}")
    return folder / "run.yaml"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_bad_input_is_told_with_value_limit_and_remedy(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises((UserError, ItemError, TavModelError)) as caught:
        kind.use(tmp_path)
    message = str(caught.value)
    for what in ("value", "limit", "remedy"):
        assert re.search(getattr(kind, what), message, re.DOTALL), f"{what}: {message}"


@pytest.mark.parametrize(
    "path", ["../a", "/etc/passwd", "a/../../b", "..", "%2e%2e/a", "a\0b", "．．/a", "a//b", ".a"]
)
def test_no_object_path_leaves_the_root(path: str) -> None:
    with pytest.raises(ValueError, match=SAFE) as caught:
        checked_path(path)
    assert repr(path) in str(caught.value)

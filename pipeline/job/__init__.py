"""One run of `preprocess`, from settings to manifest; after a kill the same command continues.

    settings ──► preprocess: units of the corpus ── artifacts: models, made or found ──► job: the run, described once
    units ── plan_file ──► what each unit reads, in a file: only numbers travel through the engine
    units ── learn_steps, where --learn-once asks: learning ──► learned_table, codes that every unit looks up
    job, plan ── graph, on what runners allows ──► compress_unit ──► shard, then its commit record
    all commit records ── publish ──► final names, report.json, and manifest.json last ── summary ──► the screen

`worker` is what one process holds of all that; `finished` finds what an earlier run has done; `progress` counts files
while the graph runs; `kept_checkpoints` lets a byte LM's training go on after a kill where the output is a store;
`traces` keeps back what Beam's workers print of an error that ends as one line.

OUTPUT/manifest.json     a directory without it is no dataset
OUTPUT/settings.json     every setting but Beam's options; `--config` reads it back
OUTPUT/compressors/      the artifacts, each with the request that it was made for
OUTPUT/_work/            plan, staged shards and commit records; removed at the end
"""

#!/usr/bin/env nextflow
// Plates to tables, with a model: every plate is predicted by shards, joined, measured by shards,
// joined. See docs/clusters.md.
//
//   nextflow run docs/cluster/nextflow --model study/models/model --plates plates --shards 4
//   nextflow run docs/cluster/nextflow -profile docker,slurm ..

include { STAINFREE_PREDICT                   } from './modules/local/stainfree/predict/main'
include { STAINFREE_MERGE as JOIN_PREDICTIONS } from './modules/local/stainfree/merge/main'
include { STAINFREE_MEASURE                   } from './modules/local/stainfree/measure/main'
include { STAINFREE_MERGE as JOIN_TABLES      } from './modules/local/stainfree/merge/main'

workflow {
    def shards = params.shards as Integer
    def plates = channel.fromPath("${params.plates}/*", type: 'dir', checkIfExists: true)
        .map { plate -> tuple([id: plate.name], plate) }
    def model = channel.value(tuple([id: 'model'], file(params.model, type: 'dir', checkIfExists: true)))
    def shares = channel.fromList((1..shards).collect { number -> "${number}/${shards}".toString() })

    STAINFREE_PREDICT(plates.combine(shares), model)
    JOIN_PREDICTIONS(STAINFREE_PREDICT.out.result.groupTuple(size: shards))
    STAINFREE_MEASURE(JOIN_PREDICTIONS.out.result.join(plates).combine(shares))
    JOIN_TABLES(STAINFREE_MEASURE.out.tables.groupTuple(size: shards))
}

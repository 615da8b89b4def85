process STAINFREE_PREDICT {
    tag "${meta.id}${shard ? " ${shard}" : ''}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "localhost/stainfree:0.1.0"

    // Inputs are staged below a folder of their own: a plate is called as its result is.
    input:
    tuple val(meta), path(images, stageAs: 'staged/images/*'), val(shard)
    tuple val(meta2), path(model, stageAs: 'staged/model/*')

    output:
    tuple val(meta), path("${prefix}"), emit: result
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def share = shard ? "--shard ${shard}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    stainfree predict \\
        ${args} \\
        ${share} \\
        --threads ${task.cpus} \\
        --quiet \\
        --out "${prefix}" \\
        "${model}" \\
        "${images}"

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        stainfree: \$(stainfree --version | sed 's/stainfree //')
    END_VERSIONS
    """

    stub:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo ${args}
    mkdir -p "${prefix}/classes" "${prefix}/nuclei" "${prefix}/cells"
    touch "${prefix}/classes/B02_s1.tif" "${prefix}/nuclei/B02_s1.tif" "${prefix}/cells/B02_s1.tif"
    touch "${prefix}/predictions.csv"

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        stainfree: 0.1.0
    END_VERSIONS
    """
}

process STAINFREE_MEASURE {
    tag "${meta.id}${shard ? " ${shard}" : ''}"
    label 'process_low'

    conda "${moduleDir}/environment.yml"
    container "localhost/stainfree:0.1.0"

    // Inputs are staged below a folder of their own: a plate is called as its result is.
    input:
    tuple val(meta), path(result, stageAs: 'staged/result/*'), path(images, stageAs: 'staged/images/*'), val(shard)

    output:
    tuple val(meta), path("${prefix}"), emit: tables
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def share = shard ? "--shard ${shard}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p "${prefix}"
    stainfree measure \\
        ${args} \\
        ${share} \\
        --threads ${task.cpus} \\
        --quiet \\
        --images "${images}" \\
        --out "${prefix}/cells.csv" \\
        --wells "${prefix}/wells.csv" \\
        "${result}"

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
    mkdir -p "${prefix}"
    touch "${prefix}/cells.csv" "${prefix}/wells.csv"

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        stainfree: 0.1.0
    END_VERSIONS
    """
}

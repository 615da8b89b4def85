process STAINFREE_MERGE {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "localhost/stainfree:0.1.0"

    input:
    tuple val(meta), path(parts, stageAs: 'staged/?/*')

    output:
    tuple val(meta), path("${prefix}"), emit: result
    path "versions.yml", emit: versions, topic: versions

    when:
    task.ext.when == null || task.ext.when

    // The files of shards differ but for those that are alike in all, so folders are joined by
    // copying them over one another; `merge` makes the tables, and fails where a field is missing.
    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p "${prefix}"
    for part in staged/*/*; do
        cp -RL "\$part/." "${prefix}/"
    done
    stainfree merge \\
        ${args} \\
        --threads ${task.cpus} \\
        "${prefix}"

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
    for part in staged/*/*; do
        cp -RL "\$part/." "${prefix}/"
    done

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        stainfree: 0.1.0
    END_VERSIONS
    """
}

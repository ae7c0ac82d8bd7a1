# Completion of mbtrain for fish, printed by `mbtrain completion fish`.
# Rows of scope, word, values and doc: apps/mbtrain/completion_table.h explains them.
set -g __mbtrain_table (string split -n \n -- @TABLE@)

# The rows of a scope and of those that it includes, as word, values, doc.
function __mbtrain_rows
    for row in (string match -- $argv[1]\t'*' $__mbtrain_table)
        set -l parts (string split -m 1 \t -- $row)
        if string match -q -- '+*' $parts[2]
            __mbtrain_rows (string sub -s 2 -- (string split \t -- $parts[2])[1])
        else
            echo $parts[2]
        end
    end
end

# __mbtrain_find WORD ROWS...: the values of a word; fails where there is none.
function __mbtrain_find
    set -l word (string escape --style=regex -- $argv[1])
    set -l row (string match -r -- "^$word\t([^\t]*)\t" $argv[2..-1])
    or return 1
    echo $row[2]
end

# __mbtrain_files LEAD VALUE: paths as candidates behind LEAD.
function __mbtrain_files
    for path in (__fish_complete_path $argv[2])
        echo $argv[1](string split \t -- $path)[1]
    end
end

# __mbtrain_values VALUES LEAD VALUE: what a row's values allow, each behind LEAD.
function __mbtrain_values
    for value in (string split , -- $argv[1])
        switch $value
            case @file
                __mbtrain_files $argv[2] $argv[3]
            case @folder
                __mbtrain_files $argv[2] $argv[3] | string match -- '*/'
            case @recipe
                string replace \t-\t \t -- $argv[2](__mbtrain_rows recipe)
            case @config
                string replace \t-\t \t -- $argv[2](__mbtrain_rows shipped)
            case '@*'
            case '*'
                echo $argv[2]$value
        end
    end
end

# Names with a dot are proposed by section first. __mbtrain_dotted CUR LEAD TAIL ROWS...
function __mbtrain_dotted
    set -l dotted (string match -r -- '^--[^\t]*[.].*' $argv[4..-1])
    if string match -q -- '*.*' $argv[1]
        string replace -r -- '^--([^\t]*)\t[^\t]*\t' $argv[2]'$1'$argv[3]\t $dotted
    else
        string replace -r -- '^--([^.]*[.]).*' $argv[2]'$1' $dotted | sort -u
    end
end

function __mbtrain_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l count (count $words)
    set -l scope mbtrain
    set -l first 2
    if test $count -ge 2; and test $words[2] = help
        set first 3
    end
    set -l depth $first
    set -l rows (__mbtrain_rows $scope)
    while test $depth -le $count; and string match -q @verb -- (__mbtrain_find $words[$depth] $rows)
        set scope "$scope $words[$depth]"
        set depth (math $depth + 1)
        set rows (__mbtrain_rows $scope)
    end
    if test $depth -gt $count
        string match -r -- '^[^\t]*\t@verb\t.*' $rows | string replace \t@verb\t \t
    end
    test $first = 3; and return
    if test "$scope" = mbtrain
        if test $depth -gt $count
            string match -r -- '^-[^\t]*\t@none\t.*' $rows | string replace \t@none\t \t
        end
        set rows (__mbtrain_rows 'mbtrain train')
    end

    if string match -q -- '*=*' $cur
        set -l parts (string split -m 1 = -- $cur)
        set -l values (__mbtrain_find --(string replace -r -- '^--' '' $parts[1]) $rows)
        and __mbtrain_values $values $parts[1]= $parts[2]
        return
    end

    # --name VALUE: of the nearest option before, unless its values have been given
    set -l at $count
    while test $at -ge $depth
        if string match -q -- '-*' $words[$at]
            set -l values (__mbtrain_find $words[$at] $rows)
            and not string match -q -- '--*' $cur
            and not string match -q -r -- '^@(none|optional)' $values
            and begin
                test $at = $count; or string match -q -- '*,@many' $values
            end
            and begin
                __mbtrain_values $values '' $cur
                return
            end
            break
        end
        set at (math $at - 1)
    end

    if string match -q -- '-*' $cur
        string match -r -- '^-[^.\t]*\t.*' $rows | string replace -r -- '\t[^\t]*\t' \t
        __mbtrain_dotted $cur -- '' $rows
    else
        set -l values (__mbtrain_find '*' $rows)
        and __mbtrain_values $values '' $cur
        __mbtrain_dotted $cur '' = $rows
    end
end

complete -c mbtrain -f -a '(__mbtrain_complete)'

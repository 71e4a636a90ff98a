heading '2. Real documents become a data set'
need data add; need data show
tell 'Manual pages in roff, and Debian manuals in HTML, text and Markdown, as their authors shipped them. The same text occurs in several formats and packages: near-duplicates are grouped and one of each group is kept, so none straddles the split between training and held-out documents. Kinds that are not read yet are said so, file by file.'
run $here/corpus.sh .demo/documents
as dana run forge data add .demo/documents --name manuals
as dana run forge data show manuals
dataset=$(as dana forge data show manuals -o json | field item.dataset.digest) || fail 'the data set has no digest'
tell "The data set is registered as $dataset."

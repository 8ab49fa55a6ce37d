-- NOTE_UNTAGGED destination|repository, digest, rule -> 1
-- The manifest, which came by that rule, lost its tag just now.

lost_its_tag(ARGV[1], ARGV[2], ARGV[3])
return 1

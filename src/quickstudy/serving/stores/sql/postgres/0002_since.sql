alter table session add column since bigint

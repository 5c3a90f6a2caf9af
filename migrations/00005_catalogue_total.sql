-- How many models the catalogue lists, kept by the database itself: each page of the list
-- says it, and counting 10,000 models takes ten times as long as reading the page. It is
-- counted anew by whatever statement changes it, in the same transaction.

-- +goose Up
CREATE TABLE catalogue_total (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one), -- a single row
    available bigint  NOT NULL
);
INSERT INTO catalogue_total (available)
SELECT count(*) FROM models WHERE availability = 'available' AND deleted_at IS NULL;

-- +goose StatementBegin
CREATE FUNCTION count_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM models WHERE availability = 'available' AND deleted_at IS NULL)
       = (SELECT available FROM catalogue_total) THEN
        RETURN NULL; -- a statement that changes nothing writes nothing
    END IF;
    PERFORM 1 FROM catalogue_total FOR UPDATE; -- the count below then sees what others committed before us
    UPDATE catalogue_total SET available =
        (SELECT count(*) FROM models WHERE availability = 'available' AND deleted_at IS NULL);
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER models_counted AFTER INSERT OR DELETE OR UPDATE OF availability, deleted_at ON models
FOR EACH STATEMENT EXECUTE FUNCTION count_catalogue();

-- +goose Down
DROP TRIGGER models_counted ON models;
DROP FUNCTION count_catalogue();
DROP TABLE catalogue_total;

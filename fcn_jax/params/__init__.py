"""Names, trees and surgery of parameters, whoever they belong to."""

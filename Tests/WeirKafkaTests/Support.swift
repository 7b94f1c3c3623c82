import WeirKafka

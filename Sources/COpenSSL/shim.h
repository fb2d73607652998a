// OpenSSL 3, and as functions what it has as macros, which Swift does not see.
#pragma once
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Writes are retried with what is left, from wherever it lies by then; idle sessions keep no buffers. The authority, which
// OpenSSL knows for verifying peers, is not sent unless that was asked for.
static inline void co_set_modes(SSL_CTX *context) {
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
}

// Nothing is resumed: neither a cache nor tickets. No renegotiation, no compression; versions are those `excluded`
// does not name.
static inline void co_set_options(SSL_CTX *context, uint64_t excluded) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_NO_SSLv3 | SSL_OP_IGNORE_UNEXPECTED_EOF | excluded);
}

static inline uint64_t co_no_tls1(void) { return SSL_OP_NO_TLSv1; }
static inline uint64_t co_no_tls1_1(void) { return SSL_OP_NO_TLSv1_1; }
static inline uint64_t co_no_tls1_2(void) { return SSL_OP_NO_TLSv1_2; }
static inline uint64_t co_no_tls1_3(void) { return SSL_OP_NO_TLSv1_3; }

// Sends `certificate` after one's own; takes it over if it succeeds.
static inline int co_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
  return SSL_CTX_add_extra_chain_cert(context, certificate) == 1;
}

// The last certificate of the chain the peer sent, which is the peer's; null if there is none.
static inline X509 *co_last_of_chain(SSL *session) {
  STACK_OF(X509) *chain = SSL_get_peer_cert_chain(session);
  int count = chain ? sk_X509_num(chain) : 0;
  return count > 0 ? sk_X509_value(chain, count - 1) : NULL;
}

// Whether the certificate was issued by its own subject, as that of a root authority is.
static inline int co_is_self_signed(X509 *certificate) {
  return X509_check_issued(certificate, certificate) == X509_V_OK;
}

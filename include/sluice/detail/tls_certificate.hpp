// X.509 certificates in words: what TlsInfo shows and what a failure's text is made of.
#pragma once

#include <sluice/tls.hpp>

#include <cstddef>
#include <string>
#include <string_view>

struct x509_st;
struct X509_name_st;

namespace sluice::inline v0_1::detail {

/// RFC 2253 form. Characters that are not printable ASCII are escaped, whoever wrote them.
std::string text_of(const X509_name_st* name);
/// The first names of the certificate, as "DNS:a.example, IP:192.0.2.1", printable.
std::string joined_names(const x509_st& certificate, std::size_t at_most);
TlsCertificate decode(x509_st& certificate);
/// `text` with everything but printable ASCII escaped.
std::string printable(std::string_view text);
std::string in_hexadecimal(Bytes bytes);

}  // namespace sluice::inline v0_1::detail
